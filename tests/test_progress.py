import logging

import pytest

from keras_apps import progress


@pytest.mark.parametrize(
    ("total", "said"), [(4, ["picture 2 of 4", "picture 4 of 4"]), (-2, ["picture 2", "picture 4"])]
)
def test_it_is_said_every_ten_seconds(monkeypatch, caplog, total, said):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    caplog.set_level(logging.INFO, "keras_apps.progress")
    seen = []
    for item in progress.told("abcd", "picture", total):
        seen.append(item)
        clock[0] += 6 if item in "bc" else 11
    assert seen == list("abcd") and caplog.messages == said
