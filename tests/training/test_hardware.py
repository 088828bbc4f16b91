import pytest
import tensorflow as tf

from keras_apps.models.pix2pix import Pix2Pix
from keras_apps.models.sentiment import SentimentClassifier
from keras_apps.training import hardware


@pytest.mark.parametrize(
    ("gpu", "bfloat16", "of_convolutions", "of_recurrent_nets"),
    [
        (True, True, "mixed_bfloat16", "mixed_bfloat16"),
        (True, False, "float32", "float32"),
        (False, True, "mixed_bfloat16", "float32"),
        (False, False, "float32", "float32"),
    ],
)
def test_auto_is_what_the_device_is_fast_in(monkeypatch, caplog, gpu, bfloat16, of_convolutions, of_recurrent_nets):
    monkeypatch.setattr(hardware, "has_gpu", lambda: gpu)
    monkeypatch.setattr(hardware, "has_bfloat16", lambda: bfloat16)
    assert hardware.choose_precision("auto", Pix2Pix) == of_convolutions
    assert hardware.choose_precision("auto", SentimentClassifier) == of_recurrent_nets
    assert hardware.choose_precision("float32", Pix2Pix) == "float32" and not caplog.records
    # What was asked for is done, and said where it is slow.
    assert hardware.choose_precision("mixed_bfloat16", Pix2Pix) == "mixed_bfloat16"
    assert (f"this {'GPU' if gpu else 'CPU'} has no units for bfloat16" in caplog.text) == (not bfloat16)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ([{"compute_capability": (8, 0)}, {"compute_capability": (9, 0)}], True),
        ([{"compute_capability": (8, 6)}, {"compute_capability": (7, 5)}], False),
        ([{"device_name": "METAL"}], False),
    ],
)
def test_gpus_have_units_for_bfloat16_from_ampere_on(monkeypatch, details, expected):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(range(len(details))))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)
    assert hardware.has_bfloat16() == expected
