"""Networks that repaint a picture in one pass: for one style, or for any."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_apps.layers.gan import InstanceNormalization, instance_normalize


def one_style_network(filters: int, seed: int, dtype: keras.dtype_policies.DTypePolicy) -> keras.Model:
    """`<float>[batch, height, width, 3]` of -1 to 1 -> the repainted picture, float32, of about -1 to 1.

    Two convolutions of stride 2, five residual blocks and the way back (Johnson 2016, https://arxiv.org/abs/1603.08155),
    with instance normalisation (Ulyanov 2016, https://arxiv.org/abs/1607.08022), and nearest neighbours before a
    convolution in place of transposed ones, which leave checkerboards (https://distill.pub/2016/deconv-checkerboard).

    Args:
        filters: of all pixels; 32 in the paper. Sides must be multiples of 4.
        seed: of the initial weights.
        dtype: of the layers.
    """
    count = 0

    def convolved(inputs: keras.KerasTensor, units: int, size: int, stride: int = 1) -> keras.KerasTensor:
        nonlocal count
        count += 1
        output = _convolution(units, size, stride, seed + count, f"transfer_{count}", dtype)(inputs)
        return InstanceNormalization(name=f"transfer_{count}_normalize", dtype=dtype)(output)

    def rectified(inputs: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.ReLU(dtype=dtype)(inputs)

    image = keras.Input((None, None, 3), name="image")
    output = rectified(convolved(image, filters, 9))
    for factor in (2, 4):
        output = rectified(convolved(output, factor * filters, 3, 2))
    for _ in range(5):
        block = convolved(rectified(convolved(output, 4 * filters, 3)), 4 * filters, 3)
        output = keras.layers.Add(dtype=dtype)([output, block])
    for factor in (2, 1):
        output = rectified(convolved(keras.layers.UpSampling2D(2, dtype=dtype)(output), factor * filters, 3))
    output = _painted(9, seed)(output)
    return keras.Model(image, output, name="transfer")


def any_style_network(
    channels: Sequence[int],
    strides: Sequence[int],
    filters: int,
    seed: int,
    dtype: keras.dtype_policies.DTypePolicy,
) -> keras.Model:
    """What AdaIN made of the features of several levels -> the picture that has them.

    From the coarsest level up each is joined with what came from below it; the picture itself, in the style's colours,
    is the last, and what is added to it makes the answer. So no detail of the content is lost in coarse levels, and
    little has to be learned. As in Ghiasi 2017 (https://arxiv.org/abs/1705.06830) what is between is normalised too,
    and scaled and moved as the style wants it.

    Inputs are `<float>[batch, rows, columns, channels]` of each level, and `condition` `<float32>[batch, units]`, all
    means and deviations wanted. The output is float32, of about -1 to 1.

    Args:
        channels: of each level; the first is the picture, of -1 to 1.
        strides: of each level, in pixels; not falling.
        filters: of all pixels; coarser levels have up to 8 times as many.
        seed: of the initial weights.
        dtype: of the layers.
    """
    levels = [
        keras.Input((None, None, units), name=f"level_{level}", dtype=dtype.compute_dtype if level else "float32")
        for level, units in enumerate(channels)
    ]
    condition = keras.Input((2 * sum(channels),), name="condition")
    style = keras.layers.Dense(
        128,
        activation="relu",
        kernel_initializer=keras.initializers.GlorotNormal(seed),
        name="transfer_style",
        dtype=dtype,
    )(condition)
    output = None
    for level in reversed(range(len(levels))):
        units = min(strides[level], 8) * filters
        joined = levels[level]
        if level:
            joined = _convolution(units, 1, 1, seed + 10 * level, f"transfer_{level}_level", dtype)(joined)
        if output is not None:
            grown = GrownTo(strides[level + 1] // strides[level], dtype=dtype)([output, joined])
            joined = keras.layers.Concatenate(dtype=dtype)([grown, joined])
        for number in (1, 2):
            name = f"transfer_{level}_{number}"
            joined = _convolution(units, 3, 1, seed + 10 * level + number, name, dtype)(joined)
            joined = ConditionalInstanceNormalization(
                seed + 10 * level + 2 + number, name=f"{name}_normalize", dtype=dtype
            )([joined, style])
            joined = keras.layers.ReLU(dtype=dtype)(joined)
        output = joined
    change = _painted(3, seed + 5)(output)
    return keras.Model([*levels, condition], keras.layers.Add(dtype="float32")([levels[0], change]), name="transfer")


@keras.saving.register_keras_serializable(package="keras_apps")
class ConditionalInstanceNormalization(keras.layers.Layer):
    """Each channel of each picture at mean 0 and variance 1, then scaled and moved as a condition says (Dumoulin 2017).

    (1 + a(condition)) (x - mean) / sqrt(variance + epsilon) + b(condition), with a and b linear
    (https://arxiv.org/abs/1610.07629). Inputs are `<float>[batch, height, width, channels]` and
    `<float>[batch, units]`; the output is as the first.

    Args:
        seed: of the initial weights.
    """

    def __init__(self, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape: Sequence[tuple]) -> None:
        """Makes the weights."""
        (*_, channels), (_, units) = input_shape
        self.kernel = self.add_weight(
            name="kernel", shape=(units, 2 * channels), initializer=keras.initializers.RandomNormal(0, 0.02, self.seed)
        )
        self.bias = self.add_weight(name="bias", shape=(2 * channels,), initializer="zeros", autocast=False)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """The normalised pictures."""
        image, condition = inputs
        wanted = tf.cast(tf.matmul(tf.cast(condition, self.compute_dtype), self.kernel), tf.float32) + self.bias
        scale, shift = tf.split(wanted, 2, axis=-1)
        return instance_normalize(image, tf.reshape(1 + scale, [-1]), tf.reshape(shift, [-1]))

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        """That of the pictures."""
        return input_shape[0]

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_apps")
class GrownTo(keras.layers.Layer):
    """A grid, each place of it repeated, as large as another: `<float>[batch, rows, columns, channels]` of both.

    What is missing at the ends, since a convolution without padding left it out, is filled with zeros.

    Args:
        factor: by which places are repeated.
    """

    def __init__(self, factor: int, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """The larger grid."""
        grid, like = inputs
        channels = grid.shape[-1]
        if self.factor > 1:
            batch, rows, columns, _ = tf.unstack(tf.shape(grid))
            repeated = tf.tile(grid[:, :, None, :, None], [1, 1, self.factor, 1, self.factor, 1])
            grid = tf.reshape(repeated, [batch, rows * self.factor, columns * self.factor, channels])
        missing = tf.shape(like)[1:3] - tf.shape(grid)[1:3]
        grid = tf.pad(grid, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])
        return tf.ensure_shape(grid, [*like.shape[:3], channels])

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        """That of the other grid, with the channels of the first."""
        grid, like = input_shape
        return (*like[:3], grid[-1])

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"factor": self.factor}


def _convolution(
    units: int, size: int, stride: int, seed: int, name: str, dtype: keras.dtype_policies.DTypePolicy | str
) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(
        units, size, stride, "same", kernel_initializer=keras.initializers.HeNormal(seed), name=name, dtype=dtype
    )


def _painted(size: int, seed: int) -> keras.layers.Conv2D:
    """The last convolution, whose output is small to begin with: colours beyond black and white teach nothing."""
    initializer = keras.initializers.RandomNormal(0, 0.01, seed)
    return keras.layers.Conv2D(
        3, size, padding="same", kernel_initializer=initializer, name="transfer_output", dtype="float32"
    )
