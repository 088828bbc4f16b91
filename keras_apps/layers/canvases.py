"""Pictures of unlike sizes in one batch: on one canvas, with masks of what is theirs; and the styles of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_apps.layers.images import decode_image, to_pixels

Tensors = dict[str, tf.Tensor]
Masks = Callable[[tf.Tensor], tf.Tensor | None]
"""Of features, which of their places count; None for all."""


class CanvasMasks:
    """Which places of a grid over pictures count, `<float32>[batch, rows, columns]`.

    Args:
        outer: `<int32>[2]`, the height and width of all pictures of the batch.
        inner: `<int32>[batch, 2]`, that of each without what fills it up, at the top left.
    """

    def __init__(self, outer: tf.Tensor, inner: tf.Tensor):
        self._shares = tf.cast(inner, tf.float32) / tf.cast(outer, tf.float32)

    def __call__(self, grid: tf.Tensor) -> tf.Tensor:
        """Those of `<float>[batch, rows, columns, channels]`."""
        rows, columns = (
            tf.cast(tf.range(count), tf.float32) / tf.cast(count, tf.float32) < self._shares[:, axis, None]
            for axis, count in enumerate(tf.unstack(tf.shape(grid)[1:3]))
        )
        return tf.cast(rows[:, :, None] & columns[:, None], tf.float32)


def everywhere(grid: tf.Tensor) -> None:
    """Where nothing fills up, every place counts."""
    del grid


@dataclasses.dataclass(frozen=True)
class Styles:
    """The styles of each content.

    Args:
        images: `<float32>[batch, styles, size, size, 3]` of 0 to 255.
        sizes: `<int32>[batch, styles, 2]`, of each without what fills it up.
        shares: `<float32>[batch, styles]`.
    """

    images: tf.Tensor
    sizes: tf.Tensor
    shares: tf.Tensor

    @classmethod
    def of_one(cls, style: np.ndarray, longest: int) -> Styles:
        """One style for one content, from `<uint8>[height, width, 3]`."""
        size = inner_size(tf.constant(style.shape[:2]), longest)
        return cls(fitted(tf.constant(style), longest)[None, None], size[None, None], tf.ones([1, 1]))

    @classmethod
    def filling(cls, styles: tf.Tensor) -> Styles:
        """One style for each content, `<float32>[batch, size, size, 3]`, none of them filled up."""
        shape = tf.shape(styles)
        return cls(styles[:, None], tf.tile(shape[None, None, 1:3], [shape[0], 1, 1]), tf.ones([shape[0], 1]))

    @classmethod
    def decoded(cls, encoded: tf.Tensor, shares: tf.Tensor, longest: int) -> Styles:
        """From the bytes `<string>[batch, styles]`."""

        def one(each: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            image = decode_image(each)
            return fitted(image, longest), inner_size(tf.shape(image)[:2], longest)

        spec = (tf.TensorSpec([longest, longest, 3], tf.uint8), tf.TensorSpec([2], tf.int32))
        images, sizes = tf.map_fn(one, tf.reshape(encoded, [-1]), fn_output_signature=spec)
        shape = tf.shape(encoded)
        return cls(
            tf.reshape(images, [shape[0], shape[1], longest, longest, 3]),
            tf.reshape(sizes, [shape[0], shape[1], 2]),
            shares / tf.reduce_sum(shares, axis=-1, keepdims=True),
        )

    def filled_up(self, numbers: Sequence[int]) -> Styles:
        """As many of each as the next of some numbers says: the same, and the last of them again with no share."""
        own = tf.shape(self.shares)[1]
        count = tf.reduce_min(tf.boolean_mask(numbers, own <= numbers))
        places = tf.minimum(tf.range(count), own - 1)
        images, sizes = (tf.gather(each, places, axis=1) for each in (self.images, self.sizes))
        return Styles(images, sizes, tf.pad(self.shares, [[0, 0], [0, count - own]]))

    def tensors(self) -> Tensors:
        """As they pass from `decode` to `core`."""
        return {"styles": self.images, "style_sizes": self.sizes, "shares": self.shares}

    def flat(self) -> tuple[tf.Tensor, CanvasMasks]:
        """All one after the other, `<float32>[batch * styles, size, size, 3]`, and which of their places count."""
        shape = tf.shape(self.images)
        flat = tf.reshape(tf.cast(self.images, tf.float32), [-1, shape[2], shape[3], 3])
        return flat, CanvasMasks(shape[2:4], tf.reshape(self.sizes, [-1, 2]))

    def mixed(self, values: tf.Tensor) -> tf.Tensor:
        """What was computed of each, `<float32>[batch * styles, ...]`, mixed by the shares, `[batch, ...]`."""
        each = tf.reshape(values, tf.concat([tf.shape(self.shares), tf.shape(values)[1:]], axis=0))
        shares = tf.reshape(self.shares, tf.concat([tf.shape(self.shares), tf.ones_like(tf.shape(values)[1:])], axis=0))
        return tf.ensure_shape(tf.reduce_sum(shares * each, axis=1), [None, *values.shape[1:]])

    def shrunk(self, factor: int) -> Styles:
        """The same, that many times smaller."""
        flat, _ = self.flat()
        small = shrunk(flat, factor)
        images = tf.reshape(small, tf.concat([tf.shape(self.images)[:2], tf.shape(small)[1:]], axis=0))
        return Styles(images, tf.maximum(self.sizes // factor, 1), self.shares)

    def with_colours_of(self, content: tf.Tensor, masks: Masks) -> Styles:
        """The same in the content's mean colour and covariance of colours, by Cholesky's factors of both."""
        flat, style_masks = self.flat()
        mean, factor = _colours(content, masks(content))
        count = tf.shape(self.shares)[1]
        mean, factor = tf.repeat(mean, count, axis=0), tf.repeat(factor, count, axis=0)
        own_mean, own_factor = _colours(flat, style_masks(flat))
        change = tf.matmul(factor, tf.linalg.triangular_solve(own_factor, tf.eye(3, batch_shape=[tf.shape(flat)[0]])))
        moved = tf.einsum("nhwc,ndc->nhwd", flat - own_mean[:, None, None], change) + mean[:, None, None]
        return Styles(tf.reshape(tf.clip_by_value(moved, 0, 255), tf.shape(self.images)), self.sizes, self.shares)


def _colours(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean colour `<float32>[batch, 3]`, and Cholesky's factor of the colours' covariance."""
    share = (mask / tf.reduce_sum(mask, axis=[1, 2], keepdims=True))[..., None]
    mean = tf.reduce_sum(share * image, axis=[1, 2])
    apart = image - mean[:, None, None]
    covariance = tf.einsum("nhwc,nhwd->ncd", share * apart, apart)
    # A picture of one colour has none.
    return mean, tf.linalg.cholesky(covariance + tf.eye(3))


def lit(colours: tf.Tensor, light: tf.Tensor) -> tf.Tensor:
    """One picture's colours in another's light: Y of YIQ is the other's, I and Q are its own."""
    weights = tf.constant([0.299, 0.587, 0.114])
    return colours + tf.reduce_sum(weights * (light - colours), axis=-1, keepdims=True)


def inner_size(size: tf.Tensor, longest: int) -> tf.Tensor:
    """`<int32>[..., 2]` of a picture -> what it has where its longer side is `longest`."""
    scale = longest / tf.cast(tf.reduce_max(size, axis=-1, keepdims=True), tf.float32)
    return tf.clip_by_value(tf.cast(tf.round(tf.cast(size, tf.float32) * scale), tf.int32), 1, longest)


def fitted(image: tf.Tensor, longest: int) -> tf.Tensor:
    """`<uint8>[height, width, 3]` -> `<uint8>[longest, longest, 3]`, whole, at the top left, and mirrored beyond it."""
    size = inner_size(tf.shape(image)[:2], longest)
    inner = resized(image, size)
    rows, columns = (tf.range(longest) % (2 * size[axis]) for axis in (0, 1))
    rows, columns = (tf.minimum(places, 2 * size[axis] - 1 - places) for axis, places in enumerate((rows, columns)))
    return tf.ensure_shape(tf.gather(tf.gather(inner, rows), columns, axis=1), [longest, longest, 3])


def resized(image: tf.Tensor, size: tf.Tensor | Sequence[int]) -> tf.Tensor:
    """`<uint8>[height, width, 3]`, or a batch, at another size."""
    return to_pixels(tf.image.resize(image, size, "bicubic", antialias=True))


def shrunk(image: tf.Tensor, factor: int) -> tf.Tensor:
    """`<float32>[batch, height, width, 3]`, that many times smaller."""
    return tf.nn.avg_pool2d(image, factor, factor, "VALID") if factor > 1 else image


def grown(image: tf.Tensor) -> tf.Tensor:
    """`<float32>[batch, height, width, 3]`, twice as large."""
    return tf.image.resize(image, 2 * tf.shape(image)[1:3], "bilinear")
