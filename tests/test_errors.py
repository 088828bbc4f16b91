from types import SimpleNamespace
from typing import Literal

import pytest

from keras_apps.errors import UserError, check_choices

Cell = Literal["lstm", "gru"]


def build(
    cell: Cell,
    attention: Cell | Literal["none"],
    patch: Literal[1, 16],
    colours: Literal["no"] | None,
    units: int | str,
) -> None:
    """What has arguments."""


def test_only_what_a_type_lists_is_taken():
    fine = {"cell": "gru", "attention": "none", "patch": 16, "colours": None, "units": "any"}
    check_choices(SimpleNamespace(**fine), build)
    for wrong, message in (
        ({"cell": "none"}, "cell must be one of lstm, gru; received none"),
        ({"attention": "dot"}, "attention must be one of lstm, gru, none; received dot"),
        ({"patch": 2}, "patch must be one of 1, 16; received 2"),
        ({"colours": "yes"}, "colours must be one of no; received yes"),
    ):
        with pytest.raises(UserError, match=f"^{message}$"):
            check_choices(SimpleNamespace(**fine | wrong), build)
