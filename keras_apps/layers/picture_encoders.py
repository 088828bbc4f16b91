"""What looks at pictures for a captioner: RGB of 0 to 255 in, a grid of features out."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

from keras_apps.errors import UserError, brief
from keras_apps.layers.squeezenet import SqueezeNet

SCRATCH = "scratch"
SQUEEZENET = "squeezenet"
IMAGENET = "imagenet"


def picture_encoder(
    name: str, image_size: int, seed: int, dtype: keras.dtype_policies.DTypePolicy
) -> keras.layers.Layer:
    """An encoder, built, with random weights.

    Args:
        name: `scratch`, `squeezenet`, or a model of `keras.applications`.
        image_size: of a side of the pictures.
        seed: of the initial weights.
        dtype: of the layers.

    Raises:
        UserError: where there is no such encoder, or the pictures are too small for it.
    """
    try:
        if name == SCRATCH:
            encoder = ConvolutionalEncoder(seed=seed, name="encoder", dtype=dtype)
        elif name == SQUEEZENET:
            encoder = SqueezeNet(seed=seed, name="encoder", dtype=dtype)
        else:
            encoder = ApplicationEncoder(name, image_size, name="encoder", dtype=dtype)
        shape = (None, image_size, image_size, 3)
        if not encoder.built:
            encoder.build(shape)
        grid = encoder.compute_output_shape(shape)[1:3]
    except ValueError as error:
        raise UserError(f"image_size={image_size} does not suit encoder {name} ({error})") from error
    if min(grid) < 1:
        raise UserError(f"image_size={image_size} is too small for encoder {name}; give it larger pictures")
    return encoder


def is_inherited(encoder: str, is_pretrained: bool, other: str) -> bool:
    """Whether a model's encoder takes its weights from that of the model it begins with: where it is the same one.

    Not where its own were read.

    Args:
        encoder: the model's own.
        is_pretrained: whether its weights were read.
        other: that of the model to begin with.

    Raises:
        UserError: where it is another one, whose weights were not read.
    """
    if encoder not in (other, SCRATCH) and not is_pretrained:
        raise UserError(f"the model to begin with has encoder {other}; for {encoder} give --encoder_weights too")
    return encoder == other and not is_pretrained


def read_pretrained(encoder: keras.layers.Layer, source: str) -> None:
    """Reads the weights of an encoder that has learned elsewhere; nothing where it learns from scratch.

    Args:
        encoder: from `picture_encoder`.
        source: `imagenet` for what `keras.applications` fetches, else a weights file.

    Raises:
        UserError: where the weights can't be had.
    """
    if isinstance(encoder, SqueezeNet):
        if source == IMAGENET:
            raise UserError(
                "the weights of squeezenet are nowhere to be fetched from; name their .h5: --encoder_weights FILE"
            )
        encoder.read_weights(source)
    elif isinstance(encoder, ApplicationEncoder):
        encoder.read_weights(source)


@keras.saving.register_keras_serializable(package="keras_apps")
class ConvolutionalEncoder(keras.layers.Layer):
    """A small net of 3 x 3 convolutions to be trained with what reads it; its grid has an eighth of the picture's side.

    Each is followed by layer normalisation over the channels of a place, without which it overfits sooner, and a ReLU.

    Args:
        filters: of each convolution.
        strides: of each.
        seed: of the initial weights.
    """

    def __init__(
        self,
        filters: Sequence[int] = (32, 64, 64, 128, 128),
        strides: Sequence[int] = (2, 2, 1, 2, 1),
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.strides = tuple(strides)
        self.seed = seed
        dtype = self.dtype_policy
        self.network = []
        for level, (size, stride) in enumerate(zip(self.filters, self.strides, strict=True)):
            initializer = keras.initializers.HeNormal(seed + level)
            self.network += [
                keras.layers.Conv2D(
                    size, 3, stride, "same", kernel_initializer=initializer, name=f"convolution_{level}", dtype=dtype
                ),
                keras.layers.LayerNormalization(epsilon=1e-3, name=f"normalize_{level}", dtype=dtype),
                keras.layers.ReLU(dtype=dtype),
            ]

    def build(self, input_shape: tuple) -> None:
        """Makes the weights."""
        for layer in self.network:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """`<float>[batch, height, width, 3]` -> `<float>[batch, rows, columns, filters]`."""
        output = tf.cast(images, self.compute_dtype) / 127.5 - 1
        for layer in self.network:
            output = layer(output)
        return output

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Of the grid."""
        for layer in self.network:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"filters": self.filters, "strides": self.strides, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_apps")
class ApplicationEncoder(keras.layers.Layer):
    """A model of `keras.applications` without its top, and its own way to prepare pictures.

    It is always called as at inference: batches of the pictures at hand never change its normalisation.

    Args:
        application: the model's name there, such as `MobileNetV3Small`.
        image_size: of a side of the pictures.

    Raises:
        UserError: where there is no such model.
    """

    def __init__(self, application: str, image_size: int, **kwargs):
        super().__init__(**kwargs)
        self.application = application
        self.image_size = image_size
        factory = _application(application)
        self.preprocess = inspect.getmodule(factory).preprocess_input
        with _global_policy(self.dtype_policy):
            self.network = factory(weights=None, include_top=False, input_shape=(image_size, image_size, 3))
        self.built = True

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """`<float>[batch, size, size, 3]` -> `<float>[batch, rows, columns, channels]`."""
        return self.network(self.preprocess(tf.cast(images, tf.float32)), training=False)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Of the grid."""
        return (input_shape[0], *self.network.output_shape[1:])

    def read_weights(self, source: str) -> None:
        """Reads `imagenet`, which Keras fetches and keeps, or a weights file of the same network.

        Raises:
            UserError: where it can't be fetched or read.
        """
        shape = (self.image_size, self.image_size, 3)
        try:
            with _global_policy(self.dtype_policy):
                pretrained = _application(self.application)(weights=source, include_top=False, input_shape=shape)
        except Exception as error:
            raise UserError(
                f"the {source} weights of {self.application} can't be had ({brief(error)}); without a network name "
                "a weights file (--encoder_weights FILE), or use --encoder scratch"
            ) from error
        self.network.set_weights(pretrained.get_weights())

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"application": self.application, "image_size": self.image_size}


def _application(name: str) -> Callable[..., keras.Model]:
    known = [each for each in dir(keras.applications) if each[0].isupper()]
    if name not in known:
        raise UserError(f"encoder must be {SCRATCH}, {SQUEEZENET} or one of {', '.join(known)}; received {name!r}")
    return getattr(keras.applications, name)


@contextlib.contextmanager
def _global_policy(policy: keras.dtype_policies.DTypePolicy) -> Iterator[None]:
    """The applications take no dtype of their own."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
