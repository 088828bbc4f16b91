import numpy as np
import pytest

from keras_apps.metrics.calibration import LEAST_SCALE, expected_calibration_error, fit_scales


def test_temperature_is_recovered():
    """Labels drawn from softmax(logits / 4): the factor to find is 1/4."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=8, size=(40_000, 3))
    noise = rng.gumbel(size=logits.shape)
    labels = (logits / 4 + noise).argmax(-1)
    assert fit_scales(logits[None], labels)[0] == pytest.approx(0.25, abs=0.01)


def test_a_model_that_knows_nothing_counts_nothing():
    rng = np.random.default_rng(1)
    useful = rng.normal(scale=2, size=(20_000, 2))
    labels = (useful + rng.gumbel(size=useful.shape)).argmax(-1)
    scales = fit_scales(np.stack([useful, rng.normal(size=useful.shape)]), labels)
    assert scales[0] == pytest.approx(1, abs=0.05) and scales[1] == pytest.approx(0, abs=0.05)


def test_a_model_that_was_always_right_is_not_believed_to_be_certain():
    """98 of 98 right: by Platt's rule the next is right with 99 %."""
    logits = np.array([[[3.0, 0.0], [0.0, 3.0]] * 49])
    scale = fit_scales(logits, np.array([0, 1] * 49))[0]
    assert 1 / (1 + np.exp(-3 * scale)) == pytest.approx(0.99, abs=1e-4)


def test_a_model_that_is_wrong_keeps_its_order():
    """With a factor of 0 all classes would be as likely, and the first be the answer always."""
    logits = np.array([[[3.0, 0.0], [0.0, 3.0]] * 5])
    assert fit_scales(logits, np.array([1, 0] * 5)).tolist() == pytest.approx([LEAST_SCALE])
    both = fit_scales(np.concatenate([logits, logits]), np.array([1, 0] * 5))
    assert both.tolist() == pytest.approx([LEAST_SCALE] * 2)


def test_calibration_error_by_hand():
    # Bin of 0.9: two of four right, |0.5 - 0.9|; bin of 0.6: one of one, |1 - 0.6|.
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]])
    labels = np.array([0, 0, 1, 1, 1])
    assert expected_calibration_error(probabilities, labels) == pytest.approx((4 * 0.4 + 1 * 0.4) / 5)


def test_perfect_and_certain_has_no_calibration_error():
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0
