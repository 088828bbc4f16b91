"""Layers that the literature adds to adversarial networks, against collapse and steep discriminators."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_apps")
class InstanceNormalization(keras.layers.Layer):
    """Each channel of each picture at mean 0 and variance 1, then scaled and moved (Ulyanov 2016).

    gamma (x - mean) / sqrt(variance + epsilon) + beta over height and width (https://arxiv.org/abs/1607.08022);
    `<float>[batch, height, width, channels]` -> the same. It does in training and when served the very same. Pictures
    of 1 x 1 come out as beta, whatever they hold.

    Args:
        epsilon: from 1.001e-5, the least that TensorFlow's kernel takes.
    """

    def __init__(self, epsilon: float = 1.001e-5, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple) -> None:
        """Makes the weights."""
        channels = input_shape[-1:]
        self.gamma = self.add_weight(name="gamma", shape=channels, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=channels, initializer="zeros", autocast=False)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The normalised pictures."""
        batch = tf.shape(inputs)[0]
        return instance_normalize(inputs, tf.tile(self.gamma, [batch]), tf.tile(self.beta, [batch]), self.epsilon)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"epsilon": self.epsilon}


def instance_normalize(inputs: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, epsilon: float = 1.001e-5) -> tf.Tensor:
    """Each channel of each picture at mean 0 and variance 1, then scaled and moved.

    Args:
        inputs: `<float>[batch, height, width, channels]`.
        scale: `<float32>[batch * channels]`.
        shift: `<float32>[batch * channels]`.
        epsilon: from 1.001e-5, the least that TensorFlow's kernel takes.

    Returns:
        `<float>[batch, height, width, channels]`.
    """
    # The channels of all pictures side by side are one picture, and its batch normalisation is one fused kernel:
    # twice as fast on large maps without XLA as moments and arithmetic, and in float32 inside for bfloat16 too.
    batch, height, width, _ = tf.unstack(tf.shape(inputs))
    channels = inputs.shape[-1]
    flat = tf.reshape(tf.transpose(inputs, [1, 2, 0, 3]), [1, height, width, batch * channels])
    output, _, _ = tf.compat.v1.nn.fused_batch_norm(flat, scale, shift, epsilon=epsilon)
    output = tf.transpose(tf.reshape(output, [height, width, batch, channels]), [2, 0, 1, 3])
    return tf.ensure_shape(output, inputs.shape)


@keras.saving.register_keras_serializable(package="keras_apps")
class MinibatchDiscrimination(keras.layers.Layer):
    """Tells a discriminator how near each example is to the others of its batch (Salimans 2016).

    `<float>[batch, features]` -> `<float>[batch, features + kernels]`, those added being the sum over the other
    examples of exp(-||M_i - M_j||_1), with M = x T (https://arxiv.org/abs/1606.03498). It grows with the batch: one
    example alone has zeros.

    Args:
        kernels: values added to each example.
        units: in each row of M.
        seed: of the initial weights.
    """

    def __init__(self, kernels: int = 50, units: int = 5, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.kernels = kernels
        self.units = units
        self.seed = seed

    def build(self, input_shape: tuple) -> None:
        """Makes the weights."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.kernels * self.units),
            initializer=keras.initializers.GlorotUniform(self.seed),
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The features, and how near the others are."""
        # In float32: differences of features that are all alike are what this is about.
        rows = tf.cast(tf.matmul(inputs, self.kernel), tf.float32)
        rows = tf.reshape(rows, [-1, self.kernels, self.units])
        distances = tf.reduce_sum(tf.abs(rows[:, None] - rows[None]), axis=-1)
        nearness = tf.reduce_sum(tf.exp(-distances), axis=1) - 1
        return tf.concat([inputs, tf.cast(nearness, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """That of the input with more features."""
        return (input_shape[0], input_shape[-1] + self.kernels)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"kernels": self.kernels, "units": self.units, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_apps")
class MinibatchStandardDeviation(keras.layers.Layer):
    """Tells a discriminator how much the examples of a group vary (Karras 2018).

    `<float>[batch, height, width, channels]` -> the same with one more channel, which holds the standard deviation of
    each feature over the group, averaged over features and places (https://arxiv.org/abs/1710.10196). Examples i,
    i + groups, i + 2 groups ... are a group; a batch that can't be dealt out evenly has some larger ones.

    Args:
        group: least number of examples in a group; a smaller batch is one group.
    """

    def __init__(self, group: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.group = group

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The features, and how much the group varies."""
        shape = tf.shape(inputs)
        member = tf.range(shape[0]) % tf.maximum(shape[0] // self.group, 1)
        together = tf.cast(member[:, None] == member[None], tf.float32)
        mean_over_group = together / tf.reduce_sum(together, axis=1, keepdims=True)
        flat = tf.reshape(tf.cast(inputs, tf.float32), [shape[0], -1])
        variance = tf.matmul(mean_over_group, tf.square(flat - tf.matmul(mean_over_group, flat)))
        # A collapsed group varies by 0, where the root has no gradient.
        deviation = tf.reduce_mean(tf.sqrt(variance + 1e-8), axis=1)
        channel = tf.broadcast_to(deviation[:, None, None, None], tf.concat([shape[:-1], [1]], axis=0))
        return tf.concat([inputs, tf.cast(channel, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """That of the input with one more channel."""
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"group": self.group}


@keras.saving.register_keras_serializable(package="keras_apps")
class SpectralNormalization(keras.layers.Wrapper):
    """A layer whose kernel W counts as W / sigma(W), sigma being its largest singular value (Miyato 2018).

    The kernel is taken as a matrix of its last axis against the others, and sigma found by one step of the power method
    at each call, from the vector that the last call in training left (https://arxiv.org/abs/1802.05957). The weights
    themselves stay as the optimizer made them and the gradient goes through sigma, as in the paper. That of Keras
    divides the weights in place, in training only: it rounds them to bfloat16 in mixed precision, changes the
    discriminator in the generator's step, and leaves them steep after the optimizer's.

    Args:
        layer: one that is linear in its kernel but for bias and activation: `Dense`, `Conv2D`, ...
        seed: of the vector's first value.
    """

    def __init__(self, layer: keras.layers.Layer, seed: int = 0, **kwargs):
        # With autocast the kernel would read as bfloat16 in mixed precision, too coarse for the power method.
        super().__init__(layer, autocast=False, **kwargs)
        self.seed = seed

    def build(self, input_shape: tuple) -> None:
        """Makes the weights."""
        super().build(input_shape)
        self.vector = self.add_weight(
            name="vector",
            shape=(1, self.layer.kernel.shape[-1]),
            initializer=keras.initializers.RandomNormal(seed=self.seed),
            trainable=False,
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The layer's output with the kernel normalised."""
        inputs = tf.cast(inputs, self.compute_dtype)
        kernel = tf.reshape(self.layer.kernel, [-1, self.vector.shape[-1]])
        left = _unit(tf.stop_gradient(tf.matmul(self.vector, kernel, transpose_b=True)))
        right = _unit(tf.stop_gradient(tf.matmul(left, kernel)))
        # Of one kernel, every replica finds the same.
        if training:
            self.vector.assign(right)
        sigma = tf.matmul(tf.matmul(left, kernel), right, transpose_b=True)[0, 0]
        # What is linear in W / sigma is so in inputs / sigma, and the layer is left alone. A kernel of zeros stays one.
        return self.layer(inputs / tf.cast(tf.maximum(sigma, 1e-6), inputs.dtype))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """That of the layer."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"seed": self.seed}


def _unit(vector: tf.Tensor) -> tf.Tensor:
    return vector / (tf.norm(vector) + 1e-12)
