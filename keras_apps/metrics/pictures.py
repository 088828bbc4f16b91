"""What to report of pictures that have a true one to be compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn import metrics as sklearn_metrics

from keras_apps.errors import UserError

# A side of the window in which SSIM compares.
_WINDOW = 11
# SSIM takes some 60 bytes a pixel and channel.
_AT_A_TIME = 16


def l1(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The mean absolute difference of each picture, of 0 to 1 (black against white).

    Args:
        predicted: `<uint8>[n, height, width, channels]`.
        true: the like.

    Returns:
        `<float64>[n]`.
    """
    _check(predicted, true)
    return np.array([np.abs(a.astype(int) - b.astype(int)).mean() / 255 for a, b in zip(predicted, true, strict=True)])


def psnr(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The peak signal-to-noise ratio of each picture in dB, infinite where there is no difference.

    20 log10(255 / root mean squared difference). The mean over pictures is that of their dB, as usual.

    Args:
        predicted: `<uint8>[n, height, width, channels]`.
        true: the like.

    Returns:
        `<float32>[n]`.
    """
    _check(predicted, true)
    return _batched(lambda a, b: tf.image.psnr(a, b, max_val=255.0), predicted, true)


def ssim(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The structural similarity of each picture, of -1 to 1 (Wang 2004, https://doi.org/10.1109/TIP.2003.819861).

    With the paper's constants and gaussian window of 11 x 11, the mean over places and channels.

    Args:
        predicted: `<uint8>[n, height, width, channels]`.
        true: the like.

    Returns:
        `<float32>[n]`.

    Raises:
        UserError: where the pictures are smaller than the window.
    """
    _check(predicted, true)
    if min(predicted.shape[1:3]) < _WINDOW:
        height, width = predicted.shape[1:3]
        raise UserError(f"SSIM needs pictures of at least {_WINDOW}x{_WINDOW}; received {height}x{width}")
    return _batched(lambda a, b: tf.image.ssim(a, b, max_val=255.0), predicted, true)


def label_report(predicted: np.ndarray, true: np.ndarray, classes: int) -> dict[str, Any]:
    """How well maps of classes agree, counted over the pixels of all of them.

    Args:
        predicted: `<int>[n, height, width]`, the class of each pixel.
        true: the like.
        classes: how many there are.

    Returns:
        Plain values: `pixel_accuracy`; `iou`, for each class the pixels that both give it over those that either does,
        None where none does; `mean_iou` over the others; `confusion_matrix`, whose rows are true classes.

    Raises:
        UserError: for maps of unlike shape, or a class out of range.
    """
    predicted, true = np.asarray(predicted), np.asarray(true)
    _check(predicted, true)
    for name, labels in (("predicted", predicted), ("true", true)):
        if labels.min() < 0 or labels.max() >= classes:
            raise UserError(f"{name} classes are {labels.min()} to {labels.max()}, not 0 to {classes - 1}")
    confusion = sklearn_metrics.confusion_matrix(true.ravel(), predicted.ravel(), labels=range(classes))
    both = np.diag(confusion)
    either = confusion.sum(0) + confusion.sum(1) - both
    iou = [float(b / e) if e else None for b, e in zip(both, either, strict=True)]
    return {
        "pixel_accuracy": float(both.sum() / true.size),
        "mean_iou": float(np.mean([value for value in iou if value is not None])),
        "iou": iou,
        "confusion_matrix": confusion.tolist(),
    }


def _check(predicted: np.ndarray, true: np.ndarray) -> None:
    if predicted.shape != true.shape:
        raise UserError(f"pictures to compare must be of one shape; received {predicted.shape} and {true.shape}")
    if not len(true):
        raise UserError("there are no pictures to compare; the data set is empty")


def _batched(
    measure: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], predicted: np.ndarray, true: np.ndarray
) -> np.ndarray:
    parts = [slice(start, start + _AT_A_TIME) for start in range(0, len(true), _AT_A_TIME)]
    return np.concatenate([measure(*(tf.cast(each[part], tf.float32) for each in (predicted, true))) for part in parts])
