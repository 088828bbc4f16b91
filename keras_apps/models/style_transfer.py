"""Neural style transfer: a picture's content in another picture's style, searched for or painted in one pass."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import keras
import numpy as np
import tensorflow as tf

from keras_apps.errors import UserError, check_choices, check_range
from keras_apps.layers.canvases import (
    CanvasMasks,
    Masks,
    Styles,
    everywhere,
    fitted,
    grown,
    inner_size,
    lit,
    resized,
    shrunk,
)
from keras_apps.layers.feature_networks import DEFAULT_LAYERS, FeatureNetwork
from keras_apps.layers.images import decode_image, to_pixels
from keras_apps.layers.optimizers import FusedAdam, moving_average
from keras_apps.layers.picture_encoders import IMAGENET, SCRATCH, is_inherited
from keras_apps.layers.requests import check_each
from keras_apps.layers.style_networks import any_style_network, one_style_network
from keras_apps.losses import perceptual
from keras_apps.metrics import pictures as metrics
from keras_apps.models.servable import ServableModel, Signature, Tensors
from keras_apps.progress import told

LARGEST = 1024
"""Of the sizes that pictures are worked on at."""
MOST_WEIGHT = 100.0
"""Of a style, in a search."""
MIXED = (2, 4)
"""Styles of a mix; of other numbers it is filled up to the next, for each is a shape to compile."""
_STEP = 32
"""What sizes are multiples of."""
_SMALLEST = 64
"""Of the sizes."""
_ZOOM = 1.25
"""Of the pictures that are trained on, by how much they may be larger than what is cut out of them."""
_GROUP = 8
"""Pictures that an encoder learns to tell apart at once."""
_OWN_SHARE = 0.1
"""Of the pictures whose style in training is their own, so that a style of no weight changes nothing."""
_TEMPERATURE = 0.1
_LEAST_DEVIATION = 0.05
"""In relation to that of all channels of a level, what is added to each before one is divided by another."""
_SHOWN = 6

Statistics = dict[str, tuple[tf.Tensor, ...]]
"""Of each style layer, what its loss compares."""
Moments = list[tuple[tf.Tensor, tf.Tensor]]
"""Of each level, the mean and deviation of its channels."""

logger = logging.getLogger(__name__)


@keras.saving.register_keras_serializable(package="keras_apps")
class StyleTransfer(ServableModel):
    """Repaints a picture, its content, in the manner of another one, its style.

    `optimise` (Gatys 2016, https://arxiv.org/abs/1508.06576) searches for the picture whose features are those of the
    content and whose statistics of features are those of the style: a loop in the graph, with what does not change
    computed before it. `feedforward` (Johnson 2016, https://arxiv.org/abs/1603.08155) trains a network that does it in
    one pass for one style, the first of the training examples. `arbitrary` (Huang 2017, https://arxiv.org/abs/1703.06868)
    trains one for any style: the content's features get the means and deviations of the style's (AdaIN), and a decoder
    makes a picture of them. All three know one loss: content, statistics of the style, and total variation, each
    relative to what is aimed at.

    Phases: `encoder`, for an encoder from scratch, which learns to tell crops of one picture from those of others (Chen
    2020, https://arxiv.org/abs/2002.05709); `transfer`, for `feedforward` and `arbitrary`. A search with a
    pre-trained encoder has nothing to learn.

    Args:
        method: `optimise`, `feedforward` or `arbitrary`.
        encoder: what sees content and style: `scratch`, `squeezenet`, `VGG16` or `VGG19` (`FeatureNetwork`).
        encoder_weights: what `adapt` reads the encoder's weights from: `imagenet`, which Keras fetches (VGG16, VGG19),
            or a weights file; nothing for one from scratch.
        content_layers: by whose features the content is compared, each as `NAME` or `NAME:WEIGHT`; by default those
            that suit the encoder.
        style_layers: by whose statistics the style is compared, likewise; `arbitrary` also paints by them.
        statistics: `gram` matrices, or `moments`, the mean and deviation of each channel; by default these for
            `arbitrary`, which is told nothing else of a style.
        content_weight: of the content's loss; the style's counts once.
        variation_weight: of the total variation; by default 0.3, for an encoder from scratch 0.03.
        image_size: of the longer side of the pictures that are worked on, a multiple of 32.
        style_scale: size of the style's longer side in relation to that; a larger style has larger strokes.
        steps: of the search, at each of its scales.
        scales: of the search, each of twice the size of the one before, up to `image_size`; none is below 64.
        step_size: by which a pixel of 0 to 255 may change in the first step of the search; it falls to nothing.
        filters: of the painting network's level of all pixels.
        crop_size: of the squares that are trained on, a multiple of 32.
        keep_colours: `no`; `luminance` takes light from the answer alone, and colours from the content; `matched` gives
            the style the content's mean colour and covariance of colours before (Gatys 2016,
            https://arxiv.org/abs/1606.05897).
        intermediates: pictures of the way to be answered too (`optimise`).
        progress: steps of the search after which its losses are printed (`optimise`); 0 for never. It is not saved.
        seed: of the initial weights.
    """

    precision = {"cpu": "mixed_bfloat16", "gpu": "mixed_bfloat16"}
    term_names: ClassVar[tuple[str, ...]] = ("loss", "content_loss", "style_loss", "variation")

    def __init__(
        self,
        method: Literal["optimise", "feedforward", "arbitrary"] = "optimise",
        encoder: str = SCRATCH,
        encoder_weights: str = IMAGENET,
        content_layers: Sequence[str] = (),
        style_layers: Sequence[str] = (),
        statistics: Literal["gram", "moments"] | None = None,
        content_weight: float = 0.1,
        variation_weight: float | None = None,
        image_size: int = 384,
        style_scale: float = 1.0,
        steps: int = 100,
        scales: int = 3,
        step_size: float = 8.0,
        filters: int = 16,
        crop_size: int = 128,
        keep_colours: Literal["no", "luminance", "matched"] = "no",
        intermediates: int = 0,
        progress: int = 0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.method = method
        self.encoder = encoder
        self.encoder_weights = encoder_weights
        self.content_layers = tuple(content_layers)
        self.style_layers = tuple(style_layers)
        self.statistics = statistics or ("moments" if method == "arbitrary" else "gram")
        self.content_weight = content_weight
        if variation_weight is None:
            variation_weight = 0.03 if encoder == SCRATCH else 0.3
        self.variation_weight = variation_weight
        self.image_size = image_size
        self.style_scale = style_scale
        self.steps = steps
        self.scales = scales
        self.step_size = step_size
        self.filters = filters
        self.crop_size = crop_size
        self.keep_colours = keep_colours
        self.intermediates = intermediates
        self.progress = progress
        self.seed = seed
        if encoder not in DEFAULT_LAYERS:
            raise UserError(f"encoder must be one of {', '.join(DEFAULT_LAYERS)}; received {encoder}")
        check_choices(self, StyleTransfer.__init__)
        if method == "feedforward" and keep_colours == "matched":
            raise UserError(
                "keep_colours=matched changes the style, which a feedforward model has learned; use luminance"
            )
        for name in ("image_size", "crop_size"):
            size = getattr(self, name)
            if size % _STEP or not _SMALLEST <= size <= LARGEST:
                raise UserError(f"{name} must be a multiple of {_STEP} from {_SMALLEST} to {LARGEST}; received {size}")
        check_range(self, ("steps", "filters", "scales"), at_least=1)
        check_range(self, ("content_weight", "variation_weight", "intermediates", "progress"), at_least=0)
        check_range(self, ("style_scale",), at_least=0.25, below=4)
        if step_size <= 0:
            raise UserError(f"step_size must be above 0; received {step_size}")
        if intermediates >= steps:
            raise UserError(f"intermediates must be fewer than steps={steps}; received {intermediates}")
        self.encoder_is_pretrained = False
        self.phase = self.phases[-1] if self.phases else ""
        self._build_network()

    def _build_network(self) -> None:
        content, style = DEFAULT_LAYERS.get(self.encoder, ((), ()))
        self.content_shares = _layer_weights("content_layers", self.content_layers or content)
        self.style_shares = _layer_weights("style_layers", self.style_layers or style)
        dtype, seed = self.dtype_policy, self.seed
        names = list(dict.fromkeys([*self.style_shares, *self.content_shares]))
        eye = FeatureNetwork(self.encoder, names, seed + 100, name="eye", dtype=dtype)
        # The first of the layers: Keras gives the moving averages to the first weights of a model when `fit` ends.
        if self.method == "feedforward":
            self.transfer = one_style_network(self.filters, seed, dtype)
            self.style_image = self.add_weight(
                name="style_image",
                shape=(2 * self.crop_size, 2 * self.crop_size, 3),
                initializer="zeros",
                trainable=False,
            )
        elif self.method == "arbitrary":
            channels, strides = (
                dict(zip(names, eye.channels(), strict=True)),
                dict(zip(names, eye.strides(), strict=True)),
            )
            self.levels = sorted(self.style_shares, key=lambda name: strides[name])
            self.transfer = any_style_network(
                [3, *(channels[name] for name in self.levels)],
                [1, *(strides[name] for name in self.levels)],
                self.filters,
                seed,
                dtype,
            )
        self.eye = eye
        if self.encoder == SCRATCH:
            self.head = keras.layers.Dense(
                64, kernel_initializer=keras.initializers.GlorotNormal(seed + 200), name="head", dtype="float32"
            )
            self.coarsest = int(np.argmax(eye.strides()))
            self.head.build((None, 2 * eye.channels()[self.coarsest]))
        self.built = True

    @property
    def phases(self) -> tuple[str, ...]:
        """`encoder`, where it learns here, and `transfer`, where there is a network to paint."""
        return ("encoder",) * (self.encoder == SCRATCH) + ("transfer",) * (self.method != "optimise")

    @property
    def style_size(self) -> int:
        """Of the longer side of styles, when answering."""
        return max(_SMALLEST, _STEP * round(self.style_scale * self.image_size / _STEP))

    @property
    def wanted_side(self) -> int:
        """Of the shorter side of the pictures that squares to train on are cut out of."""
        return int(_ZOOM * self.crop_size)

    # From examples to batches.

    def adapt(self, examples: tf.data.Dataset) -> None:
        """Reads a pre-trained encoder's weights; a feedforward model looks at the style that it is to learn.

        Raises:
            UserError: where the weights can't be had, or there is no content, or no style where one is needed.
        """
        roles = [role.decode() for role in examples.map(lambda example: example["role"]).as_numpy_iterator()]
        for role in ("content", "style"):
            if role not in roles:
                raise UserError(f"the training examples have no {role} picture; give some (see --data and --styles)")
        if self.encoder_weights and self.encoder != SCRATCH:
            self.eye.read_weights(self.encoder_weights)
            self.encoder_is_pretrained = True
        self.encoder_weights = ""
        if self.method == "feedforward":
            if roles.count("style") > 1:
                logger.info("the first of %d styles is learned; choose one with --style", roles.count("style"))
            style = next(iter(examples.filter(lambda example: example["role"] == "style")))["image"]
            self.style_image.assign(tf.cast(fitted(style, 2 * self.crop_size), tf.float32))

    def inherit(self, other: ServableModel, skip: Sequence[str] = ()) -> tuple[int, int]:
        """Copies the weights that fit, but for the picture of the style; of an encoder only where it is the same.

        Raises:
            UserError: where the encoder is another one, whose weights were not read.
        """
        kept = () if is_inherited(self.encoder, self.encoder_is_pretrained, other.encoder) else ("eye",)
        return super().inherit(other, (*skip, "style_image", *kept))

    def snapshot(self, **changes: Any) -> Self:
        """A copy for inference; it says nothing of its progress unless asked to."""
        return super().snapshot(**{"progress": 0} | changes)

    def prepare(self, example: Tensors) -> Tensors:
        """`image` `<uint8>[height, width, 3]`, its shorter side the same for all; and whether it `is_style`."""
        size = tf.shape(example["image"])[:2]
        shorter = tf.reduce_min(size)
        kept = tf.minimum(size, 2 * shorter)
        offset = (size - kept) // 2
        image = example["image"][offset[0] : offset[0] + kept[0], offset[1] : offset[1] + kept[1]]
        scaled = tf.maximum(kept * self.wanted_side // shorter, self.wanted_side)
        return {"image": resized(image, scaled), "is_style": example["role"] == "style"}

    def batches(
        self, examples: tf.data.Dataset, batch_size: int, training: bool, seed: int | tf.Tensor = 0
    ) -> tf.data.Dataset:
        """Batches of contents, each with a style; for the encoder, of groups of pictures, each with two views of it.

        Every content comes once in an epoch. What is cut out of pictures to validate by is the same each time.
        """
        seed = tf.cast(seed, tf.int64)
        count = tf.maximum(examples.cardinality(), 1)

        def shuffled(some: tf.data.Dataset, number: int) -> tf.data.Dataset:
            return some.shuffle(count, seed + number, reshuffle_each_iteration=False) if training else some

        def only(is_style: bool, number: int) -> tf.data.Dataset:
            of_role = examples.filter(lambda example: example["is_style"] == is_style)
            return shuffled(of_role, number).map(lambda example: example["image"])

        if self.phase == "encoder":
            whole = shuffled(examples, 0).repeat().take((count + _GROUP - 1) // _GROUP * _GROUP)
            drawn = whole.map(lambda example: {"content": example["image"]})
        elif self.method == "feedforward":
            drawn = only(False, 0).map(lambda content: {"content": content})
        else:
            pairs = tf.data.Dataset.zip(only(False, 0), only(True, 1).repeat())
            drawn = pairs.map(lambda content, style: {"content": content, "style": style})
        drawn = drawn.enumerate().map(
            lambda index, example: self.augment(example, tf.stack([seed, index])), num_parallel_calls=tf.data.AUTOTUNE
        )
        if self.phase == "encoder":
            return drawn.batch(_GROUP, drop_remainder=True).batch(max(1, batch_size // _GROUP))
        return drawn.batch(batch_size)

    def augment(self, example: Tensors, seed: tf.Tensor) -> Tensors:
        """Squares cut out at random, the style sometimes the content's own; for the encoder two `views` of it."""
        seeds = tf.unstack(tf.random.split(seed, 3))
        if self.phase == "encoder":
            return {"views": tf.stack([self._view(example["content"], each) for each in seeds[:2]])}
        content = self._cut(example["content"], seeds[0])
        if "style" not in example:
            return {"content": content}
        is_own = tf.random.stateless_uniform([], seeds[2]) < _OWN_SHARE
        return {"content": content, "style": tf.where(is_own, content, self._cut(example["style"], seeds[1]))}

    def _cut(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A square of 0.75 to 1.25 times the size wanted, brought to it, and mirrored or not."""
        of_side, of_place, of_flip = tf.unstack(tf.random.split(seed, 3))
        least = int(0.75 * self.crop_size)
        side = tf.random.stateless_uniform([], of_side, least, self.wanted_side + 1, tf.int32)
        room = tf.cast(tf.shape(image)[:2] - side, tf.float32)
        row, column = tf.unstack(tf.cast(tf.random.stateless_uniform([2], of_place) * (room + 1), tf.int32))
        square = resized(image[row : row + side, column : column + side], [self.crop_size] * 2)
        return tf.image.stateless_random_flip_left_right(square, of_flip)

    def _view(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A square in another light, so that it is not told by its colours alone."""
        of_cut, of_tint, of_grey = tf.unstack(tf.random.split(seed, 3))
        square = tf.cast(self._cut(image, of_cut), tf.float32)
        square *= tf.random.stateless_uniform([3], of_tint, 0.6, 1.4)
        grey = tf.reduce_mean(square, axis=-1, keepdims=True) + tf.zeros_like(square)
        return tf.saturate_cast(tf.where(tf.random.stateless_uniform([], of_grey) < 0.2, grey, square), tf.uint8)

    # Content and style.

    def see(self, image: tf.Tensor) -> Tensors:
        """`<float32>[batch, height, width, 3]` of 0 to 255 -> the encoder's features of each layer, by name."""
        return dict(zip(self.eye.layers, self.eye(image), strict=True))

    def style_statistics(self, seen: Tensors, masks: Masks) -> Statistics:
        """Of each style layer, the Gram matrix, or the mean and deviation of each channel."""
        if self.statistics == "gram":
            return {name: (perceptual.gram_matrix(seen[name], masks(seen[name])),) for name in self.style_shares}
        return {name: perceptual.moments(seen[name], masks(seen[name])) for name in self.style_shares}

    def losses(
        self, image: tf.Tensor, content: Tensors, style: Statistics, weight: tf.Tensor | float, masks: Masks
    ) -> Tensors:
        """What all methods aim at: `loss` and its unweighted terms, `<float32>[batch]` each.

        Args:
            image: `<float32>[batch, height, width, 3]` of 0 to 255.
            content: features of the content, from `see`.
            style: what to aim at, from `style_statistics`.
            weight: of the style, `<float32>[batch]`.
            masks: which places count.
        """
        seen = self.see(image)
        content_loss = tf.add_n(
            [
                share * perceptual.content_loss(seen[name], content[name], masks(seen[name]))
                for name, share in self.content_shares.items()
            ]
        )
        found = self.style_statistics(seen, masks)
        style_loss = tf.add_n(
            [share * perceptual.statistics_loss(found[name], style[name]) for name, share in self.style_shares.items()]
        )
        variation = perceptual.total_variation(image / 255, masks(image))
        # Without style the content is to stay as it is.
        variation_weight = self.variation_weight * tf.minimum(weight, 1.0)
        return {
            "loss": self.content_weight * content_loss + weight * style_loss + variation_weight * variation,
            "content_loss": content_loss,
            "style_loss": style_loss,
            "variation": variation,
        }

    # Repainting.

    def call(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        """Contents in styles, by `paint`, or without a network to paint by `search`.

        Args:
            inputs: `content` `<uint8>[batch, height, width, 3]`, and `style`, the like, but where one was learned.
            training: makes no difference.

        Returns:
            `<float32>[batch, height, width, 3]` of 0 to 255.
        """
        del training
        content = tf.cast(inputs["content"], tf.float32)
        size = tf.tile(tf.shape(content)[None, 1:3], [tf.shape(content)[0], 1])
        styles = Styles.filling(tf.cast(inputs["style"], tf.float32)) if "style" in inputs else None
        return self.repaint(content, size, styles, tf.ones(tf.shape(content)[0]))[0]

    def repaint(
        self, content: tf.Tensor, size: tf.Tensor, styles: Styles | None, weight: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Contents in styles, as they are answered.

        Args:
            content: `<float32>[batch, height, width, 3]` of 0 to 255.
            size: `<int32>[batch, 2]`, of each without what fills up the batch.
            styles: of each, one or several; None where one was learned.
            weight: of the style, `<float32>[batch]`.

        Returns:
            The pictures, of 0 to 255, and those of the way to them.
        """
        masks = CanvasMasks(tf.shape(content)[1:3], size)
        between: list[tf.Tensor] = []
        if styles is not None and self.keep_colours == "matched":
            styles = styles.with_colours_of(content, masks)
        if self.method == "feedforward":
            share = weight[:, None, None, None]
            image = share * self._painted_alike(content) + (1 - share) * content
        elif self.method == "arbitrary":
            image = self.paint(content, self.see(content), masks, self.wanted(styles), weight)
        else:
            image, between = self.search(content, size, styles, weight, self.steps, self.scales, self.intermediates)
        if self.keep_colours == "luminance":
            image, *between = (lit(content, each) for each in (image, *between))
        return image, between

    def _painted_alike(self, content: tf.Tensor) -> tf.Tensor:
        return (self.transfer(content / 127.5 - 1) + 1) * 127.5

    def _level_moments(self, image: tf.Tensor, seen: Tensors, masks: Masks) -> Moments:
        """Of the picture's colours, of -1 to 1, and of the features of each level."""
        levels = [image / 127.5 - 1, *(seen[name] for name in self.levels)]
        return [perceptual.moments(level, masks(level)) for level in levels]

    def wanted(self, styles: Styles) -> Moments:
        """The moments of styles at each level, mixed."""
        image, masks = styles.flat()
        return [
            tuple(styles.mixed(each) for each in pair) for pair in self._level_moments(image, self.see(image), masks)
        ]

    def paint(self, content: tf.Tensor, seen: Tensors, masks: Masks, wanted: Moments, weight: tf.Tensor) -> tf.Tensor:
        """Contents in styles, in one pass (`arbitrary`).

        Args:
            content: `<float32>[batch, height, width, 3]` of 0 to 255.
            seen: their features.
            masks: which places count.
            wanted: from `wanted`.
            weight: of the style, `<float32>[batch]`, of 0 to 1.

        Returns:
            `<float32>[batch, height, width, 3]` of 0 to 255, but for some pixels beyond.
        """
        share = weight[:, None]
        levels = [content / 127.5 - 1, *(seen[name] for name in self.levels)]
        own = self._level_moments(content, seen, masks)
        aims = [
            tuple((1 - share) * mine + share * other for mine, other in zip(*pair, strict=True))
            for pair in zip(own, wanted, strict=True)
        ]
        normalised = [
            perceptual.adaptive_instance_normalization(level, *_without_noise(mine, aim))
            for level, mine, aim in zip(levels, own, aims, strict=True)
        ]
        conditions = [tf.concat(aim, axis=-1) for aim in aims]
        # Features of some layers are a hundred times those of others, which would not be heard beside them.
        scales = [tf.math.rsqrt(tf.reduce_mean(tf.square(each), -1, keepdims=True) + 1e-6) for each in conditions]
        condition = tf.concat([each * scale for each, scale in zip(conditions, scales, strict=True)], axis=-1)
        levels = [
            level if number == 0 else level * tf.cast(scales[number], level.dtype)[:, None, None]
            for number, level in enumerate(normalised)
        ]
        return (self.transfer([*levels, condition]) + 1) * 127.5

    def search(
        self,
        content: tf.Tensor,
        size: tf.Tensor,
        styles: Styles,
        weight: tf.Tensor,
        steps: int,
        scales: int,
        intermediates: int = 0,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The pictures with the least loss that are found by steps of Adam, from the contents on.

        Args:
            content: `<float32>[batch, height, width, 3]` of 0 to 255.
            size: `<int32>[batch, 2]`, of each without what fills up the batch.
            styles: of each, one or several.
            weight: of the style, `<float32>[batch]`.
            steps: at each scale.
            scales: from the coarsest to the whole size, each of twice the size of that before.
            intermediates: how many pictures of the way to return.

        Returns:
            The pictures, of 0 to 255, and those on the way to them at whole size.
        """
        while self.image_size >> (scales - 1) < _SMALLEST:
            scales -= 1
        # Of smaller styles nothing would be left for an encoder's deepest layers.
        coarsest = 1 << ((self.style_size // _STEP).bit_length() - 1)
        image, between = content, []
        for factor in [2**scale for scale in reversed(range(scales))]:
            small = shrunk(content, factor)
            masks = CanvasMasks(tf.shape(small)[1:3], tf.maximum(size // factor, 1))
            of_styles, style_masks = styles.shrunk(min(factor, coarsest)).flat()
            aim = {
                name: tuple(styles.mixed(each) for each in statistics)
                for name, statistics in self.style_statistics(self.see(of_styles), style_masks).items()
            }
            seen = self.see(small)
            # What the coarser search changed, in the picture with all its detail.
            image = small if image is content else small + grown(image - shrunk(content, 2 * factor))
            stops = [round(steps * part / (intermediates + 1)) for part in range(1, intermediates + 2)]
            last = stops if factor == 1 else [steps]
            state = (tf.constant(0), tf.clip_by_value(image, 0, 255), tf.zeros_like(image), tf.zeros_like(image))
            for stop in last:
                state = self._descend(state, stop, steps, seen, aim, weight, masks)
                between += [state[1]] if factor == 1 else []
            image = state[1]
        return image, between[:-1]

    def _descend(
        self,
        state: tuple[tf.Tensor, ...],
        stop: int,
        steps: int,
        seen: Tensors,
        aim: Statistics,
        weight: tf.Tensor,
        masks: Masks,
    ) -> tuple[tf.Tensor, ...]:
        """Goes on with a search to a step: its number, the pictures, and Adam's moments, all in float32."""
        pixels = tf.cast(tf.reduce_prod(tf.shape(state[1])[1:]), tf.float32)

        def step(number: tf.Tensor, image: tf.Tensor, mean: tf.Tensor, square: tf.Tensor) -> tuple[tf.Tensor, ...]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(image)
                terms = self.losses(image, seen, aim, weight, masks)
                # The sum: no picture has to do with another of its batch. Times their pixels, since what one pixel has
                # to say is little beside Adam's epsilon.
                loss = pixels * tf.reduce_sum(terms["loss"])
            gradient = tape.gradient(loss, image)
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.99 * square + 0.01 * tf.square(gradient)
            done = tf.cast(number + 1, tf.float32)
            change = mean / (1 - 0.9**done) / (tf.sqrt(square / (1 - 0.99**done)) + 1e-8)
            rate = self.step_size * 0.5 * (1 + tf.cos(np.pi * tf.cast(number, tf.float32) / steps))
            with tf.control_dependencies(self._said(number + 1, steps, terms)):
                return number + 1, tf.clip_by_value(image - rate * change, 0, 255), mean, square

        return tf.while_loop(lambda number, *_: number < stop, step, state, parallel_iterations=1)

    def _said(self, number: tf.Tensor, steps: int, terms: Tensors) -> list[tf.Operation]:
        if not self.progress:
            return []

        def say() -> tf.Operation:
            means = [tf.reduce_mean(terms[name]) for name in self.term_names[:3]]
            return tf.print("step", number, "of", f"{steps}: loss", means[0], "content", means[1], "style", means[2])

        return [tf.cond(number % self.progress == 0, say, tf.no_op)]

    # Training.

    @property
    def monitor(self) -> tuple[str, str]:
        """The loss."""
        return "val_encoder_loss" if self.phase == "encoder" else "val_loss", "min"

    def compile(
        self,
        learning_rate: float = 1e-3,
        encoder_learning_rate: float = 1e-3,
        averaging: float = 0.99,
        xla: bool = False,
        steps_per_execution: int = 1,
    ) -> None:
        """Adam for the network that paints, and for an encoder from scratch.

        Args:
            learning_rate: of the network that paints.
            encoder_learning_rate: of the encoder.
            averaging: momentum of the moving average of the painting network that is evaluated and saved; 0 for none.
            xla: compile losses and gradients.
            steps_per_execution: training steps in one call of the graph.
        """
        if self.phase == "encoder":
            optimizer, names = FusedAdam(encoder_learning_rate), ["encoder_loss", "encoder_accuracy"]
        else:
            optimizer, names = FusedAdam(learning_rate, **moving_average(averaging)), self.term_names
        super().compile(
            optimizer, names, variables=self.learned_variables, xla=xla, steps_per_execution=steps_per_execution
        )

    @property
    def learned_variables(self) -> list[keras.Variable]:
        """What is changed in this phase."""
        if self.phase == "encoder":
            return self.eye.trainable_variables + self.head.trainable_variables
        return self.transfer.trainable_variables

    def train_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """One step of the encoder, or of the network that paints."""
        values, gradients = self.accelerate(self.losses_and_gradients)(batch)
        self.apply_gradients(self.optimizer, gradients, self.learned_variables, batch)
        return self.track(values)

    def test_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """The losses on a batch that nothing learns from."""
        return self.track(self._values(batch))

    def losses_and_gradients(self, batch: Tensors) -> tuple[Tensors, list[tf.Tensor]]:
        """What is reported, first of all the loss, and the gradients."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in self.learned_variables:
                tape.watch(variable.value)
            values = self._values(batch)
            loss = self.replica_mean(next(iter(values.values())))
        return values, tape.gradient(loss, self.learned_variables)

    def _values(self, batch: Tensors) -> Tensors:
        if self.phase == "encoder":
            return self._encoder_values(batch["views"])
        content = tf.cast(batch["content"], tf.float32)
        seen = self.see(content)
        if self.method == "feedforward":
            image = self._painted_alike(content)
            # The same for all, so that it is computed once.
            aim = self.style_statistics(self.see(tf.convert_to_tensor(self.style_image)[None]), everywhere)
        else:
            style = tf.cast(batch["style"], tf.float32)
            style_seen = self.see(style)
            aim = self.style_statistics(style_seen, everywhere)
            wanted = self._level_moments(style, style_seen, everywhere)
            image = self.paint(content, seen, everywhere, wanted, tf.ones(tf.shape(content)[0]))
        return self.losses(image, seen, aim, 1.0, everywhere)

    def _encoder_values(self, views: tf.Tensor) -> Tensors:
        """Whether a view is more like the other one of its picture than like those of the others of its group."""
        groups, pictures = tf.shape(views)[0], tf.shape(views)[1]
        seen = self.eye(tf.reshape(views, [-1, *views.shape[3:]]))[self.coarsest]
        code = tf.math.l2_normalize(self.head(tf.concat(perceptual.moments(seen), axis=-1)), axis=-1)
        code = tf.reshape(code, [groups, pictures, 2, code.shape[-1]])
        logits = tf.einsum("gpu,gqu->gpq", code[:, :, 0], code[:, :, 1]) / _TEMPERATURE
        labels = tf.tile(tf.range(pictures)[None], [groups, 1])
        both = [logits, tf.linalg.matrix_transpose(logits)]
        losses = [tf.nn.sparse_softmax_cross_entropy_with_logits(labels, each) for each in both]
        hits = [tf.cast(tf.argmax(each, -1, tf.int32) == labels, tf.float32) for each in both]
        return {
            "encoder_loss": tf.reduce_mean(tf.add_n(losses) / 2, axis=-1),
            "encoder_accuracy": tf.reduce_mean(tf.add_n(hits) / 2, axis=-1),
        }

    # Metrics and samples.

    def measure(
        self, examples: tf.data.Dataset, batch_size: int = 64, pairs: int = 6, optimum_steps: int = 300
    ) -> dict[str, Any]:
        """What is answered to contents with styles, beside what a search with the same losses finds.

        Args:
            examples: raw ones.
            batch_size: makes no difference: each pair is asked for by itself, to be timed.
            pairs: of a content and a style to look at, at most; each content once, styles in turn.
            optimum_steps: of the search at each scale; half of the contents' time is its own. 0 for none.

        Returns:
            Means over the pairs: `loss` and its terms of what is answered; the same after 50 steps of a search at one
            scale, and of the `optimum`; `ssim` to the content, of 1 where nothing changed; `seconds`, the median for a
            picture, without the first.
        """
        del batch_size
        contents = self._some(examples, "content", pairs)
        styles = self._some(examples, "style", pairs) if self.method != "feedforward" else [self._own_style()]
        answers = []
        for number, image in enumerate(told(contents, "measuring: picture", len(contents))):
            given = self._asked(image, styles[number % len(styles)])
            began = time.monotonic()
            made = self._run("answered", given).numpy()
            row = {"seconds": time.monotonic() - began} | self._judged(made, given)
            height, width = self._opened(given)[1].numpy()[0]
            both = (np.asarray(each)[:, :height, :width] for each in (to_pixels(made), given["content"]))
            row["ssim"] = float(metrics.ssim(*both)[0])
            if optimum_steps:
                for name, steps, scales in (("steps_50", 50, 1), ("optimum", optimum_steps, self.scales)):
                    found = self._judged(self._run("searched", given, steps, scales), given)
                    row |= {f"{name}_{term}": value for term, value in found.items()}
            answers.append(row)
        report = {name: float(np.mean([row[name] for row in answers])) for name in answers[0]}
        report["seconds"] = float(np.median([row["seconds"] for row in answers][len(answers) > 1 :]))
        return {"pairs": len(answers)} | report | {"answers": answers}

    @staticmethod
    def _some(examples: tf.data.Dataset, role: str, count: int) -> list[np.ndarray]:
        chosen = examples.filter(lambda example: example["role"] == role).take(count)
        images = [example["image"] for example in chosen.as_numpy_iterator()]
        if not images:
            raise UserError(f"the examples have no {role} picture to measure by; give some (see --data and --styles)")
        return images

    def _own_style(self) -> np.ndarray:
        return to_pixels(tf.convert_to_tensor(self.style_image)).numpy()

    def _asked(self, content: np.ndarray, style: np.ndarray) -> Tensors:
        """One content and one style, as `decode` gives them."""
        size = tf.constant([content.shape[:2]])
        trimmed = self._trimmed(fitted(tf.constant(content), self.image_size)[None], size)
        return {"content": trimmed, "size": size, "style_weight": tf.ones(1)} | Styles.of_one(
            style, self.style_size
        ).tensors()

    def _run(self, what: str, given: Tensors, *settings: int) -> tf.Tensor:
        """Answers, or searches with these settings, without tracing anew for each size of picture."""
        if getattr(self, "_runners", None) is None:
            self._runners = {}
        if (what, *settings) not in self._runners:

            def searched(inputs: Tensors) -> tf.Tensor:
                content, size, styles = self._opened(inputs)
                return self.search(content, size, styles, inputs["style_weight"], *settings)[0]

            function = searched if what == "searched" else lambda inputs: self._core(inputs)["image"][:, 0]
            self._runners[(what, *settings)] = tf.function(function, autograph=False, reduce_retracing=True)
        return self._runners[(what, *settings)](given)

    def _judged(self, image: tf.Tensor, given: Tensors) -> dict[str, float]:
        """The losses of what was made, in the pixels that are served."""
        content, size, styles = self._opened(given)
        masks = CanvasMasks(tf.shape(content)[1:3], size)
        flat, style_masks = styles.flat()
        aim = self.style_statistics(self.see(flat), style_masks)
        pixels = tf.cast(to_pixels(image), tf.float32)
        terms = self.losses(pixels, self.see(content), aim, given["style_weight"], masks)
        return {name: float(value[0]) for name, value in terms.items()}

    def sample(self, examples: tf.data.Dataset) -> np.ndarray | None:
        """Rows of content, style and what is made of them, once there is a network to paint."""
        if self.phase != "transfer":
            return None
        prepared = examples.map(self.prepare)
        batch = next(iter(self.batches(prepared, _SHOWN, False)))
        made = to_pixels(self._make(batch))
        rows = [batch["content"], batch["style"], made] if "style" in batch else [batch["content"], made]
        return tf.stack(rows).numpy()

    @tf.function(autograph=False, reduce_retracing=True)
    def _make(self, batch: Tensors) -> tf.Tensor:
        return self.call(batch)

    # Answers.

    def signatures(self) -> dict[str, Signature]:
        """`serving_default`: bytes of a content and of a style, and the style's weight, to those of a PNG.

        The style's weight is 1 for what was trained or chosen, 0 for the content as it is; above 1 only for a search.
        A feedforward model has learned its style, and wants none: no bytes. `mix` takes up to four styles with shares.
        """
        content = {"content_bytes": tf.TensorSpec([None], tf.string, name="content_bytes")}
        weight = {"style_weight": tf.TensorSpec([None], tf.float32, name="style_weight")}
        style = tf.TensorSpec([None], tf.string, name="style_bytes")
        several = {
            "styles_bytes": tf.TensorSpec([None, None], tf.string, name="styles_bytes"),
            "shares": tf.TensorSpec([None, None], tf.float32, name="shares"),
        }
        batch_sizes = (1,) if self.method == "optimise" else (1, 4)
        longest = self.image_size
        shapes = [(longest, longest), (3 * longest // 4, longest), (longest, 3 * longest // 4)]
        contents = [_example(height, width, 60) for height, width in shapes]
        wave, dots = ("", "") if self.method == "feedforward" else (_example(longest, longest, 9), _example(96, 96, 30))
        requests = [{"content_bytes": each, "style_bytes": wave, "style_weight": 1.0} for each in contents]
        parts = (self._core, self._encode)
        found = {
            "serving_default": Signature(
                content | {"style_bytes": style} | weight, self._decode, *parts, requests, batch_sizes
            )
        }
        if self.method != "feedforward":
            requests = [
                {"content_bytes": each, "style_weight": 1.0}
                | {"styles_bytes": [wave, dots] * (count // 2), "shares": [1 / count] * count}
                for count in MIXED
                for each in contents
            ]
            found["mix"] = Signature(content | several | weight, self._decode_mix, *parts, requests, batch_sizes)
        return found

    def _decode(self, inputs: Tensors) -> Tensors:
        one = {"styles_bytes": inputs["style_bytes"][:, None], "shares": tf.ones_like(inputs["style_weight"])[:, None]}
        return self._decoded(inputs | one, places=(1,))

    def _decode_mix(self, inputs: Tensors) -> Tensors:
        return self._decoded(inputs, places=MIXED)

    def _decoded(self, inputs: Tensors, places: Sequence[int]) -> Tensors:
        weight, shares, encoded = inputs["style_weight"], inputs["shares"], inputs["styles_bytes"]
        most = MOST_WEIGHT if self.method == "optimise" else 1.0
        checks = [
            check_each(
                (weight >= 0) & (weight <= most),
                f"style_weight {{}} of the request is {{}}; it must be 0 to {most:g}",
                weight,
            ),
            check_each(
                tf.reduce_all(shares >= 0, -1) & (tf.reduce_sum(shares, -1) > 0) & (tf.reduce_sum(shares, -1) < 1e6),
                "shares {} of the request come to {} in all; none may be negative, and one must be above 0",
                tf.reduce_sum(shares, -1),
            ),
            tf.debugging.Assert(
                tf.reduce_all(tf.shape(encoded) == tf.shape(shares)),
                ["styles_bytes and shares must have as many values"],
            ),
            tf.debugging.Assert(
                tf.shape(encoded)[1] <= places[-1],
                [f"a mix is of {places[-1]} styles at the most; the request has", tf.shape(encoded)[1]],
            ),
        ]

        def one(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            image = decode_image(encoded)
            return fitted(image, self.image_size), tf.shape(image)[:2]

        spec = (tf.TensorSpec([self.image_size, self.image_size, 3], tf.uint8), tf.TensorSpec([2], tf.int32))
        with tf.control_dependencies(checks):
            content, size = tf.map_fn(one, inputs["content_bytes"], fn_output_signature=spec)
        found = {"content": self._trimmed(content, size), "size": size, "style_weight": weight}
        if self.method == "feedforward":
            empty = check_each(
                tf.reduce_all(tf.strings.length(encoded) == 0, -1),
                "this model paints in the one style that it has learned: leave style_bytes {} of the request empty",
            )
            with tf.control_dependencies([empty]):
                return found | {"size": tf.identity(size)}
        given = check_each(
            tf.reduce_all(tf.strings.length(encoded) > 0, -1),
            "style {} of the request is empty; give the bytes of a picture",
        )
        with tf.control_dependencies([given]):
            return found | Styles.decoded(encoded, shares, self.style_size).filled_up(places).tensors()

    def _trimmed(self, content: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        """Pictures that fill three quarters of the square's height or width, or less, without the last quarter."""
        inner = tf.reduce_max(inner_size(size, self.image_size), axis=0)
        most, three_quarters = self.image_size, 3 * self.image_size // 4
        height, width = tf.unstack(tf.where(inner <= three_quarters, three_quarters, most))
        return content[:, :height, :width]

    def _opened(self, inputs: Tensors) -> tuple[tf.Tensor, tf.Tensor, Styles | None]:
        """The contents, from 0 to 255, their sizes without what fills up, and the styles."""
        styles = None
        if "styles" in inputs:
            images = tf.cast(inputs["styles"], tf.float32)
            styles = Styles(images, inputs["style_sizes"], inputs["shares"])
        return tf.cast(inputs["content"], tf.float32), inner_size(inputs["size"], self.image_size), styles

    def _core(self, inputs: Tensors) -> Tensors:
        content, size, styles = self._opened(inputs)
        image, between = self.repaint(content, size, styles, inputs["style_weight"])
        return {"image": tf.stack([image, *between], axis=1), "size": inputs["size"]}

    def _encode(self, outputs: Tensors) -> Tensors:
        def one(values: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            images, size = values
            inner = inner_size(size, self.image_size)
            images = tf.image.resize(images[:, : inner[0], : inner[1]], size, "bicubic", antialias=True)
            return tf.map_fn(tf.io.encode_png, to_pixels(images), fn_output_signature=tf.string)

        spec = tf.TensorSpec([1 + self.intermediates], tf.string)
        png = tf.map_fn(one, (outputs["image"], outputs["size"]), fn_output_signature=spec)
        found = {"image_bytes": png[:, 0]}
        return found | ({"intermediate_bytes": png[:, 1:]} if self.intermediates else {})


def _without_noise(
    own: tuple[tf.Tensor, tf.Tensor], wanted: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tuple[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Moments for AdaIN by which channels that hardly vary are not blown up to whatever another picture has there."""
    least = _LEAST_DEVIATION * tf.sqrt(tf.reduce_mean(tf.square(own[1]), axis=-1, keepdims=True))
    return (own[0], own[1] + least), (wanted[0], wanted[1] + least)


def _example(height: int, width: int, period: int) -> bytes:
    """The bytes of a picture of waves."""
    rows, columns = np.mgrid[:height, :width]
    waves = np.sin(2 * np.pi * (rows + 0.5 * columns) / period) + np.sin(2 * np.pi * columns / (2 * period))
    colours = 128 + 50 * waves[..., None] * np.array([1.0, 0.4, -0.8])
    return tf.io.encode_png(colours.astype(np.uint8)).numpy()


def _layer_weights(name: str, layers: Sequence[str]) -> dict[str, float]:
    """`NAME` or `NAME:WEIGHT` each -> the share of each layer, of sum 1."""
    weights = {}
    for layer in layers:
        layer, _, weight = layer.partition(":")
        try:
            weights[layer] = float(weight or 1)
        except ValueError:
            weights[layer] = -1.0
        if not 0 < weights[layer] < float("inf"):
            raise UserError(
                f"{name} must be layers as NAME or NAME:WEIGHT with a weight above 0; received {layer}:{weight}"
            )
    return {layer: weight / sum(weights.values()) for layer, weight in weights.items()}
