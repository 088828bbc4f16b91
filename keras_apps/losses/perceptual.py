"""How far a picture is from another's content and style, by the features that a network sees in both.

Features are `<float>[batch, rows, columns, channels]`. A `mask` `<float32>[batch, rows, columns]` says which places
count, 1 for the picture and 0 for what was added to fill up a batch; without one all do. Losses are relative to what is
aimed at, so that they mean the same by any network and at any layer: 0 is the same, 1 is as far as a picture in which
the network sees nothing. All of them are `<float32>[batch]`, one for each picture.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

EPSILON = 1e-8
"""Added to the size of what is aimed at."""
VARIANCE_EPSILON = 1e-5
"""Added to variances, so that what does not vary has a deviation to be divided by."""


def gram_matrix(features: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """The style of a picture: which of its features go together (Gatys 2016, https://arxiv.org/abs/1508.06576).

    G_cd = mean over places of F_pc F_pd. The mean, not the sum: pictures of any two sizes can be compared.

    Args:
        features: `<float>[batch, rows, columns, channels]`.
        mask: `<float32>[batch, rows, columns]`.

    Returns:
        `<float32>[batch, channels, channels]`.
    """
    shape = tf.shape(features)
    rows = tf.reshape(features, [shape[0], shape[1] * shape[2], features.shape[-1]])
    if mask is None:
        return _inner_products(rows) / tf.cast(shape[1] * shape[2], tf.float32)
    mask = tf.reshape(mask, [shape[0], -1, 1])
    return _inner_products(rows * tf.cast(mask, rows.dtype)) / tf.reduce_sum(mask, axis=1, keepdims=True)


def moments(features: tf.Tensor, mask: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean and the standard deviation of each channel, `<float32>[batch, channels]`: the statistics of AdaIN."""
    features = tf.cast(features, tf.float32)
    mean = _mean(features, mask)
    return mean, tf.sqrt(_mean(tf.square(features - mean[:, None, None]), mask) + VARIANCE_EPSILON)


def adaptive_instance_normalization(
    features: tf.Tensor, own: tuple[tf.Tensor, tf.Tensor], wanted: tuple[tf.Tensor, tf.Tensor]
) -> tf.Tensor:
    """Features with the mean and the standard deviation of others (Huang 2017, https://arxiv.org/abs/1703.06868).

    AdaIN(x, y) = std(y) (x - mean(x)) / std(x) + mean(y), channel by channel.

    Args:
        features: `<float>[batch, rows, columns, channels]`, x.
        own: `moments` of x.
        wanted: `moments` of y.

    Returns:
        `<float>[batch, rows, columns, channels]`, of the dtype of the features.
    """
    scale = wanted[1] / own[1]
    shift = wanted[0] - scale * own[0]
    return features * tf.cast(scale, features.dtype)[:, None, None] + tf.cast(shift, features.dtype)[:, None, None]


def content_loss(features: tf.Tensor, target: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """How far features are from others: mean (F - T)^2 / mean T^2, the means over places and channels.

    Args:
        features: `<float>[batch, rows, columns, channels]`, of the picture that is made.
        target: the same of the one whose content it should have.
        mask: `<float32>[batch, rows, columns]`.
    """
    target = tf.cast(target, tf.float32)
    apart = tf.math.squared_difference(tf.cast(features, tf.float32), target)
    apart, size = (tf.reduce_mean(_mean(each, mask), axis=-1) for each in (apart, tf.square(target)))
    return apart / (size + EPSILON)


def statistics_loss(statistics: tuple[tf.Tensor, ...], targets: tuple[tf.Tensor, ...]) -> tf.Tensor:
    """How far one layer's statistics, a Gram matrix or `moments`, are from others: sum (S - T)^2 / sum T^2.

    Args:
        statistics: `<float32>[batch, ...]` each, of the picture that is made.
        targets: the same of the style.
    """
    pairs = zip(statistics, targets, strict=True)
    apart = tf.add_n([_sum_of_squares(one - other) for one, other in pairs])
    return apart / (tf.add_n([_sum_of_squares(each) for each in targets]) + EPSILON)


def total_variation(image: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """The mean absolute difference of neighbours below each other, and that of those beside each other, together.

    Args:
        image: `<float32>[batch, height, width, channels]`.
        mask: `<float32>[batch, height, width]`; a difference counts where both neighbours do.
    """
    below, beside = image[:, 1:] - image[:, :-1], image[:, :, 1:] - image[:, :, :-1]
    masks = (None, None) if mask is None else (mask[:, 1:] * mask[:, :-1], mask[:, :, 1:] * mask[:, :, :-1])
    return tf.add_n(
        [tf.reduce_mean(_mean(tf.abs(each), of), axis=-1) for each, of in zip((below, beside), masks, strict=True)]
    )


def _mean(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """The mean over places, `<float32>[batch, channels]`."""
    if mask is None:
        return tf.reduce_mean(values, axis=[1, 2])
    # A picture of one pixel has no neighbours.
    return tf.reduce_sum(mask[..., None] * values, [1, 2]) / tf.maximum(tf.reduce_sum(mask, [1, 2])[:, None], 1.0)


def _sum_of_squares(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(values), axis=list(range(1, values.shape.rank)))


@tf.custom_gradient
def _inner_products(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """`<float>[batch, n, channels]` -> `<float32>[batch, channels, channels]`."""

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        # Both factors are the same rows: one product in place of two.
        both = upstream + tf.linalg.matrix_transpose(upstream)
        return tf.matmul(rows, tf.cast(both, rows.dtype))

    return tf.cast(tf.matmul(rows, rows, transpose_a=True), tf.float32), gradient
