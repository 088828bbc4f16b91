import pytest

from keras_apps.models.pix2pix import Pix2Pix
from keras_apps.models.sentiment import SentimentClassifier
from keras_apps.training import hardware


@pytest.mark.parametrize(
    ("gpu", "bfloat16", "of_convolutions", "of_recurrent_nets"),
    [
        (True, False, "mixed_bfloat16", "mixed_bfloat16"),
        (False, True, "mixed_bfloat16", "float32"),
        (False, False, "float32", "float32"),
    ],
)
def test_auto_is_what_the_device_is_fast_in(monkeypatch, caplog, gpu, bfloat16, of_convolutions, of_recurrent_nets):
    monkeypatch.setattr(hardware, "has_gpu", lambda: gpu)
    monkeypatch.setattr(hardware, "has_bfloat16_cpu", lambda: bfloat16)
    assert hardware.choose_precision("auto", Pix2Pix) == of_convolutions
    assert hardware.choose_precision("auto", SentimentClassifier) == of_recurrent_nets
    assert hardware.choose_precision("float32", Pix2Pix) == "float32" and not caplog.records
    # What was asked for is done, and said where it is slow.
    assert hardware.choose_precision("mixed_bfloat16", Pix2Pix) == "mixed_bfloat16"
    assert ("no units for bfloat16" in caplog.text) == (not gpu and not bfloat16)
