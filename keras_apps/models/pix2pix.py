"""pix2pix: a picture to a picture of another kind, learned from pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_apps.errors import UserError, check_choices, check_range
from keras_apps.layers.gan import InstanceNormalization
from keras_apps.layers.images import decode_image, scale_pixels, to_pixels, unscale_pixels
from keras_apps.metrics import pictures as metrics
from keras_apps.metrics.distributions import distribution_report
from keras_apps.models.adversarial import AdversarialModel, Judged
from keras_apps.models.servable import Signature, Tensors
from keras_apps.progress import told

LARGEST = 256
"""A side of the pictures that are worked on is at most this, unless asked for more."""
FEWEST = 16
"""Pictures that FID and KID can say something of."""
_LOOKED_AT = 64
_SHOWN = 6


@keras.saving.register_keras_serializable(package="keras_apps")
class Pix2Pix(AdversarialModel):
    """A U-Net and a discriminator of patches (Isola 2017, https://arxiv.org/abs/1611.07004).

    Instance normalisation in place of batch normalisation, and no dropout, so that what is served is as good as what
    was seen in training. `filters=64` on pictures of 256 x 256 is the size of the paper: 54.4 and 2.8 million weights.

    Args:
        height: of the pictures that the network works on; a multiple of 16. By default that of the data, at most 256.
        width: likewise. A picture of another shape is fitted in, and the answer brought back to its size.
        filters: of the first level; the others have up to 8 times as many.
        patch: side of what the discriminator judges at once, 1, 16, 70 or 286 pixels.
        label_colours: where the target is a label map, the number of its colours; 0 for a picture.
        flip: mirror half of the pairs in training.
        jitter: the part of a side by which pairs are shifted in training, at most.
        seed: of the initial weights.
        palette: the colours of a label map, learned by `adapt` unless given.
    """

    monitor = ("val_l1", "min")

    def __init__(
        self,
        height: int | None = None,
        width: int | None = None,
        filters: int = 32,
        patch: Literal[1, 16, 70, 286] = 70,
        label_colours: int = 0,
        flip: bool = True,
        jitter: float = 0.06,
        seed: int = 0,
        palette: Sequence[Sequence[int]] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.height = height
        self.width = width
        self.filters = filters
        self.patch = patch
        self.label_colours = label_colours
        self.flip = flip
        self.jitter = jitter
        self.seed = seed
        # One of another number of colours is of the model that this one starts from.
        self.palette = palette if palette is not None and len(palette) == label_colours else None
        check_choices(self, Pix2Pix.__init__)
        check_range(self, ("filters",), at_least=1)
        check_range(self, ("jitter",), at_least=0, below=0.5)
        if label_colours == 1 or label_colours < 0:
            raise UserError(f"label_colours must be 0 for pictures, or at least 2; received {label_colours}")
        if height and width and (self.palette is not None or not label_colours):
            self._build_network()

    def _build_network(self) -> None:
        for name in ("height", "width"):
            if getattr(self, name) % 16:
                raise UserError(f"{name} must be a multiple of 16; received {getattr(self, name)}")
        if max(self.height, self.width) < 2 << _PATCH_LEVELS[self.patch]:
            # Of one place nothing is left when its own mean is taken away.
            raise UserError(f"patch={self.patch} is too large for pictures of {self.height} x {self.width}")
        self.generator = unet(self.height, self.width, self.filters, self.seed, self.dtype_policy)
        self.discriminator = patch_discriminator(self.patch, self.filters, self.seed + 100, self.dtype_policy)
        self.built = True

    # From examples to batches.

    def adapt(self, examples: tf.data.Dataset) -> None:
        """Learns the size and the colours, where not given, and builds."""
        if not self.height or not self.width:
            shapes = examples.take(_LOOKED_AT).map(lambda example: tf.shape(example["input"])[:2])
            sides = np.median(np.stack(list(shapes.as_numpy_iterator())), axis=0)
            sides *= min(1, LARGEST / sides.max())
            height, width = (max(16, 16 * round(side / 16)) for side in sides)
            self.height, self.width = self.height or height, self.width or width
        if self.label_colours and self.palette is None:
            self.palette = _colours_of(examples.take(_LOOKED_AT), self.label_colours)
        if not self.built:
            self._build_network()

    def config_for(self, examples: tf.data.Dataset) -> dict[str, Any]:
        """Looks for the colours of the new targets; no weight depends on them."""
        return super().config_for(examples) | {"palette": None}

    def prepare(self, example: Tensors) -> Tensors:
        """`<uint8>[height, width, 3]` each; a label map keeps its colours."""
        return {
            "input": self._fitted(example["input"], "area"),
            "target": self._fitted(example["target"], "nearest" if self.label_colours else "area"),
        }

    def _fitted(self, image: tf.Tensor, method: str) -> tf.Tensor:
        """The whole picture in the middle, as large as it fits, its borders carried on."""
        size = self._inner_size(tf.shape(image)[:2])
        inner = tf.image.resize(tf.cast(image, tf.float32)[None], size, method=method)[0]
        rows, columns = (
            tf.clip_by_value(tf.range(side) - (side - size[axis]) // 2, 0, size[axis] - 1)
            for axis, side in enumerate((self.height, self.width))
        )
        fitted = tf.gather(tf.gather(inner, rows), columns, axis=1)
        return tf.ensure_shape(to_pixels(fitted), [self.height, self.width, 3])

    def _inner_size(self, size: tf.Tensor) -> tf.Tensor:
        """`<int32>[2]`, the size that a picture has within the network's."""
        outer = tf.constant([self.height, self.width], tf.float32)
        given = tf.cast(size, tf.float32)
        return tf.clip_by_value(
            tf.cast(tf.round(given * tf.reduce_min(outer / given)), tf.int32), 1, [self.height, self.width]
        )

    def augment(self, example: Tensors, seed: tf.Tensor) -> Tensors:
        """Shifts both pictures of a pair alike, and mirrors half of the pairs."""
        example = super().augment(example, seed)
        pair = tf.concat([example["input"], example["target"]], axis=-1)
        if self.jitter:
            margins = [math.ceil(self.jitter * side) for side in (self.height, self.width)]
            padded = tf.pad(pair, [[each, each] for each in margins] + [[0, 0]], "SYMMETRIC")
            pair = tf.image.stateless_random_crop(padded, [self.height, self.width, 6], seed)
        if self.flip:
            pair = tf.image.stateless_random_flip_left_right(pair, seed + 1)
        return example | {"input": pair[..., :3], "target": pair[..., 3:]}

    # The networks.

    @property
    def term_names(self) -> tuple[str, ...]:
        """The distance, unless it counts for nothing; then the last epoch is as good as any."""
        return ("l1",) if self.l1_weight else ()

    def call(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        """`input` `<uint8>[batch, height, width, 3]` -> `<float32>[batch, height, width, 3]` from -1 to 1."""
        return self.generate(inputs, training)

    def generate(self, batch: Tensors, training: bool) -> tf.Tensor:
        """The picture, `<float32>[batch, height, width, 3]` from -1 to 1."""
        return self.generator(scale_pixels(batch["input"]), training=training)

    def judged(self, batch: Tensors, fake: tf.Tensor) -> list[Judged]:
        """The true picture with its input, and the made one."""
        given = scale_pixels(batch["input"])
        return [Judged((scale_pixels(batch["target"]), given), True, 0.5), Judged((fake, given), False, 0.5)]

    def judge(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool) -> Tensors:
        """`logits` `<float32>[batch, rows, columns]`, one for each patch."""
        return {"logits": self.discriminator(tf.concat(inputs, axis=-1), training=training)[..., 0]}

    def generator_terms(self, batch: Tensors, fake: tf.Tensor, verdict: Tensors) -> Tensors:
        """The distance to the true picture."""
        del verdict
        if not self.l1_weight:
            return {}
        return {"l1": self.l1_weight * tf.reduce_mean(tf.abs(scale_pixels(batch["target"]) - fake), axis=[1, 2, 3])}

    def compile(self, l1_weight: float = 100.0, **game: Any) -> None:
        """Adam for both networks.

        Args:
            l1_weight: of the mean absolute difference to the true picture, in the generator's loss; 0 for none.
            game: as `AdversarialModel.compile` takes it.
        """
        self.l1_weight = l1_weight
        check_range(self, ("l1_weight",), at_least=0)
        super().compile(**self.game | game)

    # Metrics and samples.

    def measure(
        self,
        examples: tf.data.Dataset,
        batch_size: int = 64,
        features: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """L1, PSNR, SSIM, FID and KID at the network's size; of label maps also accuracy and IoU of each colour.

        PSNR is of the pictures that are not exactly right, of which there may be none.

        Args:
            examples: raw ones.
            batch_size: how many at a time.
            features: `<uint8>[batch, height, width, 3]` -> `<float32>[batch, units]`, for FID and KID
                of 16 pictures or more.
        """
        made, true = [], []
        prepared = examples.map(self.prepare, tf.data.AUTOTUNE).batch(batch_size)
        for batch in told(prepared, "making pictures: batch", int(prepared.cardinality())):
            made.append(self._pixels({"image": self._make(batch["input"])})["image"].numpy())
            true.append(batch["target"].numpy())
        made, true = np.concatenate(made), np.concatenate(true)
        ratios = metrics.psnr(made, true)
        report = {
            "l1": float(np.mean(metrics.l1(made, true))),
            "psnr": float(np.mean(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else None,
            "ssim": float(np.mean(metrics.ssim(made, true))),
        }
        if features is not None and len(made) >= FEWEST:
            report |= distribution_report(features(true), features(made))
        if self.palette is None:
            return report
        colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in self.palette]
        agreement = metrics.label_report(self._labels(made), self._labels(true), len(colours))
        return report | {"colours": colours} | agreement

    def sample(self, examples: tf.data.Dataset) -> np.ndarray:
        """Rows of input, output and target."""
        rows = examples.take(_SHOWN).map(self.prepare).batch(_SHOWN)
        batch = next(iter(rows))
        made = self._pixels({"image": self._make(batch["input"])})["image"]
        return tf.stack([batch["input"], made, batch["target"]]).numpy()

    @tf.function(autograph=False, reduce_retracing=True)
    def _make(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.generate({"input": inputs}, False)

    def _labels(self, pixels: np.ndarray) -> np.ndarray:
        """The index of the nearest colour."""
        distances = [np.square(pixels.astype(np.int32) - colour).sum(-1) for colour in np.asarray(self.palette)]
        return np.argmin(np.stack(distances, axis=-1), axis=-1)

    # Answers.

    def signatures(self) -> dict[str, Signature]:
        """`serving_default`: the bytes of a picture in, the bytes of a PNG of the same size out."""
        inputs = {"image_bytes": tf.TensorSpec([None], tf.string, name="image_bytes")}
        grey = np.full((self.height, self.width, 3), 160, np.uint8)
        grey[self.height // 4 : -self.height // 4, self.width // 4 : -self.width // 4] = (60, 90, 180)
        examples = [{"image_bytes": tf.io.encode_png(grey).numpy()}]
        return {"serving_default": Signature(inputs, self._decode, self._core, self._encode, examples, (1, 4))}

    def _decode(self, inputs: Tensors) -> Tensors:
        def one(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            image = decode_image(image_bytes)
            return self._fitted(image, "area"), tf.shape(image)[:2]

        spec = (tf.TensorSpec([self.height, self.width, 3], tf.uint8), tf.TensorSpec([2], tf.int32))
        image, size = tf.map_fn(one, inputs["image_bytes"], fn_output_signature=spec)
        return {"input": image, "size": size}

    def _core(self, inputs: Tensors) -> Tensors:
        return {"image": self.generate(inputs, training=False), "size": inputs["size"]}

    def _pixels(self, outputs: Tensors) -> Tensors:
        """`image` from -1 to 1 -> 0 to 255, in the palette's colours where there is one."""
        pixels = unscale_pixels(outputs["image"])
        if self.palette is None:
            return {"image": pixels}
        palette = tf.constant(self.palette, tf.float32)
        distances = tf.reduce_sum((tf.cast(pixels, tf.float32)[..., None, :] - palette) ** 2, axis=-1)
        return {"image": tf.cast(tf.gather(palette, tf.argmin(distances, axis=-1)), tf.uint8)}

    def _encode(self, outputs: Tensors) -> Tensors:
        method = "nearest" if self.palette else "bicubic"

        def one(values: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            image, size = values
            inner = self._inner_size(size)
            offset = [(side - inner[axis]) // 2 for axis, side in enumerate((self.height, self.width))]
            cropped = image[offset[0] : offset[0] + inner[0], offset[1] : offset[1] + inner[1]]
            resized = tf.image.resize(cropped, size, method=method)
            return tf.io.encode_png(to_pixels(tf.cast(resized, tf.float32)))

        made = self._pixels(outputs)["image"]
        png = tf.map_fn(one, (made, outputs["size"]), fn_output_signature=tf.TensorSpec([], tf.string))
        return {"image_bytes": png}


def unet(height: int, width: int, filters: int, seed: int, dtype: keras.dtype_policies.DTypePolicy) -> keras.Model:
    """`<float>[batch, height, width, 3]` -> the same from -1 to 1, float32.

    Down to where a side is one pixel or odd, at most 8 times, by convolutions of 4 x 4 and stride 2; up again by
    transposed ones, each level beside what the way down had at its size.

    Args:
        height: of the pictures.
        width: of them.
        filters: of the first level; twice as many in each of the next three.
        seed: of the initial weights.
        dtype: of the layers.
    """
    levels = min(8, *((side & -side).bit_length() - 1 for side in (height, width)))
    sizes = [filters * min(2**level, 8) for level in range(levels)]
    seeds = iter(range(seed, seed + 2 * levels))

    def settings(name: str) -> dict:
        initializer = keras.initializers.RandomNormal(0, 0.02, seed=next(seeds))
        return {"kernel_initializer": initializer, "name": f"generator_{name}", "dtype": dtype}

    inputs = keras.Input((height, width, 3), name="input")
    output, skips = inputs, []
    for level, size in enumerate(sizes):
        output = keras.layers.Conv2D(size, 4, 2, "same", **settings(f"down_{level}"))(output)
        # The innermost may have one pixel, of which nothing is left when its own mean is taken away.
        if 0 < level < levels - 1:
            output = InstanceNormalization(name=f"generator_normalize_down_{level}", dtype=dtype)(output)
        output = keras.layers.LeakyReLU(0.2, dtype=dtype)(output)
        skips.append(output)
    output = keras.layers.ReLU(dtype=dtype)(skips.pop())
    for level in reversed(range(levels - 1)):
        output = keras.layers.Conv2DTranspose(sizes[level], 4, 2, "same", **settings(f"up_{level}"))(output)
        output = InstanceNormalization(name=f"generator_normalize_up_{level}", dtype=dtype)(output)
        output = keras.layers.ReLU(dtype=dtype)(keras.layers.Concatenate(dtype=dtype)([output, skips[level]]))
    output = keras.layers.Conv2DTranspose(3, 4, 2, "same", **settings("picture"))(output)
    output = keras.layers.Activation("tanh", dtype="float32")(output)
    return keras.Model(inputs, output, name="generator")


_PATCH_LEVELS = {1: 0, 16: 1, 70: 3, 286: 5}


def patch_discriminator(patch: int, filters: int, seed: int, dtype: keras.dtype_policies.DTypePolicy) -> keras.Model:
    """Two pictures on top of each other, `<float>[batch, height, width, 6]` -> a logit for each patch, float32.

    Args:
        patch: side of what a logit depends on: 1, 16, 70 or 286 pixels.
        filters: of the first level.
        seed: of the initial weights.
        dtype: of the layers.
    """
    levels, size = _PATCH_LEVELS[patch], 4 if _PATCH_LEVELS[patch] else 1
    strides = [2] * levels + [1, 1]
    seeds = iter(range(seed, seed + len(strides)))
    inputs = keras.Input((None, None, 6), name="pair")
    output = inputs
    for level, stride in enumerate(strides):
        last = level == len(strides) - 1
        output = keras.layers.Conv2D(
            1 if last else filters * min(2**level, 8),
            size,
            stride,
            "same",
            kernel_initializer=keras.initializers.RandomNormal(0, 0.02, seed=next(seeds)),
            name=f"discriminator_{level}",
            dtype="float32" if last else dtype,
        )(output)
        if level and not last:
            output = InstanceNormalization(name=f"discriminator_normalize_{level}", dtype=dtype)(output)
        if not last:
            output = keras.layers.LeakyReLU(0.2, dtype=dtype)(output)
    return keras.Model(inputs, output, name="discriminator")


def _colours_of(examples: tf.data.Dataset, count: int) -> list[list[int]]:
    """The `count` colours around which those of the targets lie, most frequent first."""
    from sklearn.cluster import KMeans

    targets = examples.map(lambda example: tf.reshape(example["target"], [-1, 3])[::7])
    pixels = np.concatenate(list(targets.as_numpy_iterator())).astype(np.float32)
    pixels = np.random.default_rng(0).permutation(pixels)[:20_000]
    found = KMeans(count, n_init=3, random_state=0).fit(pixels)
    order = np.argsort(-np.bincount(found.labels_, minlength=count))
    return [[int(round(value)) for value in found.cluster_centers_[index]] for index in order]
