"""Convolutions that need no normalisation of what they give."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_apps")
class StandardizedConv2D(keras.layers.Layer):
    """A 3 x 3 convolution, whose kernel is standardised, and a ReLU (Qiao 2019, Brock 2021).

    Each output's kernel at mean 0 and variance 1 / inputs, times a gain (https://arxiv.org/abs/1903.10520); the ReLU is
    scaled so that noise of variance 1 keeps it (https://arxiv.org/abs/2101.08692). So nothing hangs on the batch, what
    is served is what was trained, and it costs next to nothing. `<float>[batch, height, width, inputs]` ->
    `<float>[batch, height, width, filters]`.

    Args:
        filters: the number of outputs.
        seed: of the initial weights.
    """

    def __init__(self, filters: int, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.seed = seed

    def build(self, input_shape: tuple) -> None:
        """Makes the weights."""
        # Kept from autocast: the mean and variance of a kernel are taken in float32.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(3, 3, input_shape[-1], self.filters),
            initializer=keras.initializers.HeNormal(self.seed),
            autocast=False,
        )
        self.gain = self.add_weight(name="gain", shape=(self.filters,), initializer="ones", autocast=False)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The convolution and the ReLU."""
        kernel = tf.convert_to_tensor(self.kernel)
        mean, variance = tf.nn.moments(kernel, [0, 1, 2])
        fan_in = 9 * kernel.shape[2]
        kernel = (kernel - mean) * tf.math.rsqrt(fan_in * variance + 1e-4) * self.gain * _RELU_GAIN
        bias = _RELU_GAIN * self.bias
        output = tf.nn.conv2d(tf.cast(inputs, self.compute_dtype), tf.cast(kernel, self.compute_dtype), 1, "SAME")
        # What the ReLU is scaled by is in kernel and bias, since it leaves a positive factor alone.
        return tf.nn.relu(tf.nn.bias_add(output, bias))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The same height and width."""
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"filters": self.filters, "seed": self.seed}


# sqrt(2 / (1 - 1 / pi)), by which a rectified normal variable has variance 1.
_RELU_GAIN = 1.7139588594436646
