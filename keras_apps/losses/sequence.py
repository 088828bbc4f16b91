"""Losses of sequence models."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def token_cross_entropy(
    logits: tf.Tensor, targets: tf.Tensor, label_smoothing: float = 0.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """The cross-entropy of each target token, and whether it is the most probable; 0 on padding.

    With label smoothing (Szegedy 2016, https://arxiv.org/abs/1512.00567) the true distribution is the target with
    probability 1 - label_smoothing, and any token of the vocabulary, the target included, with what is left.

    Args:
        logits: `<float>[batch, steps, vocabulary]`.
        targets: `<int32>[batch, steps]`; 0 is padding.
        label_smoothing: 0 to below 1.

    Returns:
        Losses and hits, `<float32>[batch, steps]`.
    """
    vocabulary = tf.shape(logits)[-1]

    # Logits are by far the largest tensor of a sequence model. The gradient by hand goes over them twice; that of a
    # gather alone, as autodiff has it, takes longer than the softmax.
    @tf.custom_gradient
    def smoothed(flat_logits: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
        flat_targets = tf.reshape(targets, [-1])
        losses, minus_gradient = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
            features=flat_logits, labels=flat_targets
        )
        of_target = tf.gather(flat_logits, flat_targets, batch_dims=1)
        if logits.dtype == tf.float32:
            hits = of_target >= tf.reduce_max(flat_logits, axis=-1)
        else:
            # Slower, but of half-precision logits many are equal.
            hits = tf.argmax(flat_logits, axis=-1, output_type=tf.int32) == flat_targets
        hits = tf.cast(hits, tf.float32)
        if label_smoothing:
            # -mean(log p) = -log p(target) + logit(target) - mean(logits).
            losses += label_smoothing * (of_target - tf.reduce_mean(flat_logits, axis=-1))

        def gradient(upstream: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            result = upstream[:, None] * (minus_gradient - label_smoothing / tf.cast(vocabulary, tf.float32))
            if label_smoothing:
                places = tf.stack([tf.range(tf.size(flat_targets)), flat_targets], axis=-1)
                result = tf.tensor_scatter_nd_add(result, places, label_smoothing * upstream)
            return result

        return (losses, hits), gradient

    losses, hits = smoothed(tf.reshape(tf.cast(logits, tf.float32), [-1, vocabulary]))
    inside = tf.cast(targets != 0, tf.float32)
    return tf.reshape(losses, tf.shape(targets)) * inside, tf.reshape(hits, tf.shape(targets)) * inside
