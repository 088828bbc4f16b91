"""Features of pictures by which sets of them are compared (`keras_apps.metrics.distributions`)."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_apps.errors import UserError
from keras_apps.layers.picture_encoders import SCRATCH, picture_encoder, read_pretrained

_AT_A_TIME = 32


def extractor(
    name: str = SCRATCH, weights: str | None = None, image_size: int = 128, seed: int = 0
) -> Callable[[np.ndarray], np.ndarray]:
    """What turns pictures into the mean over places of a network's last grid of features.

    `scratch` is a small convolutional network with random weights. It needs no file and tells sets of pictures apart,
    but what it finds alike is not what people do: its values can be compared with others of the same seed and size
    alone, and with none that is published. Values by `InceptionV3` are near the FID of the papers, not the same: the
    weights are those of Keras.

    Args:
        name: `scratch`, `squeezenet`, or a model of `keras.applications` such as `InceptionV3`.
        weights: `imagenet` for what Keras fetches, or a weights file; none for `scratch`.
        image_size: of a side of the square to which pictures are resized; 299 is what `InceptionV3` was trained at.
        seed: of the random weights.

    Returns:
        Pictures `<uint8>[n, height, width, 3]` -> `<float32>[n, units]`.

    Raises:
        UserError: where there is no such network, or its weights can't be had.
    """
    if (name == SCRATCH) != (not weights):
        raise UserError(
            f"features by {SCRATCH} take no weights; received {weights}"
            if weights
            else f"features by {name} need weights: imagenet or a file"
        )
    if weights:
        encoder = picture_encoder(name, image_size, seed, keras.dtype_policies.DTypePolicy("float32"))
        read_pretrained(encoder, weights)
    else:
        encoder = _random_network(seed)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)], autograph=False)
    def features(images: tf.Tensor) -> tf.Tensor:
        images = tf.image.resize(images, [image_size, image_size], antialias=True)
        return tf.reduce_mean(encoder(tf.ensure_shape(images, [None, image_size, image_size, 3])), axis=[1, 2])

    def extract(images: np.ndarray) -> np.ndarray:
        parts = [images[start : start + _AT_A_TIME] for start in range(0, len(images), _AT_A_TIME)]
        return np.concatenate([features(part) for part in parts])

    return extract


def _random_network(seed: int) -> keras.Model:
    # Not the encoder that is to be trained: its normalisation makes pale pictures and vivid ones alike.
    convolutions = [
        keras.layers.Conv2D(
            filters, 3, 2, "same", activation="relu", kernel_initializer=keras.initializers.HeNormal(seed + level)
        )
        for level, filters in enumerate((32, 64, 128, 256))
    ]
    return keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(1 / 127.5, -1), *convolutions])
