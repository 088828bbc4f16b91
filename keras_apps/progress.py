"""How far long work has come."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

_PAUSE = 10
"""Seconds between two lines."""


def told(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The same items; which of them it has come to is logged now and then.

    Args:
        items: of long work.
        what: one of them is, with what is done with it.
        total: how many there are; negative where that is not known.
    """
    last = time.monotonic()
    for number, item in enumerate(items, 1):
        if time.monotonic() - last > _PAUSE:
            last = time.monotonic()
            logger.info("%s %d%s", what, number, f" of {total}" if total >= 0 else "")
        yield item
