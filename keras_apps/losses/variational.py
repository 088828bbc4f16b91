"""Losses of distributions that are learned."""

from __future__ import annotations

import tensorflow as tf


def kl_from_normal(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """The divergence of normal distributions, independent in each unit, from the standard one.

    sum (exp(log_variance) + mean^2 - 1 - log_variance) / 2, `<float>[batch, units]` -> `<float>[batch]`.
    """
    return tf.reduce_sum(tf.exp(log_variance) + tf.square(mean) - 1 - log_variance, axis=-1) / 2
