"""Are probabilities what they say? Measuring it, and putting it right after training."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

LEAST_SCALE = 0.01


def fit_scales(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The factors of one or more models' logits whose sum has the least log loss.

    With one model it is temperature scaling (Guo 2017, https://arxiv.org/abs/1706.04599): the factor is
    1 / temperature, and no prediction changes. The labels count as certain but for 1 in n + 2 (Platt 1999), else
    examples that are all told apart rightly would ask for infinite factors. Where the examples speak against all
    models, `LEAST_SCALE` is left of each, by which probabilities are hardly more than even.

    Args:
        logits: `<float>[models, examples, classes]`.
        labels: `<int>[examples]`.

    Returns:
        `<float32>[models]`, each at least 0, and not all below `LEAST_SCALE`.
    """
    logits = np.asarray(logits, np.float64)
    count, classes = logits.shape[1:]
    doubt = 1 / (count + 2)
    targets = np.full((count, classes), doubt / (classes - 1))
    targets[np.arange(count), labels] = 1 - doubt

    def log_loss(scales: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.tensordot(scales, logits, axes=1)
        loss = -(targets * log_softmax(mixed, axis=-1)).sum(-1).mean()
        return loss, (logits * (softmax(mixed, axis=-1) - targets)).sum(-1).mean(-1)

    fitted = minimize(log_loss, np.ones(len(logits)), jac=True, bounds=[(0.0, None)] * len(logits))
    scales = fitted.x if fitted.x.max() > LEAST_SCALE else np.full(len(logits), LEAST_SCALE)
    return scales.astype(np.float32)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """The mean distance between confidence and accuracy, over bins of equal width weighted by size (Guo 2017).

    Args:
        probabilities: `<float>[examples, classes]`.
        labels: `<int>[examples]`.
        bins: how many.
    """
    confidence = probabilities.max(-1)
    right = probabilities.argmax(-1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(index, weights=right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))
