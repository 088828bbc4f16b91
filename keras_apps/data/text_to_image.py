"""Sentences with pictures of them: `{"image": tf.uint8[height, width, 3], "captions": tf.string[n]}`.

The same sources as for captioning; the generated pictures are of flowers, and of a tensorflow-datasets set that has
classes but no captions the names of the classes are made into some.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from keras_apps.data import captioning, demo_flowers
from keras_apps.data.splits import Splits, check_fractions
from keras_apps.data.tables import CAPTION_NAMES, Column
from keras_apps.errors import UserError


def load(
    data: str | os.PathLike = "demo",
    *,
    image_key: str | None = None,
    caption_key: str | None = None,
    max_bad_rows: int = 100,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
) -> Splits:
    """Loads pictures with captions as `captioning.load` does, or with names of classes made into captions.

    Args:
        data: `demo`, `tfds:NAME[/CONFIG]`, or the path of a folder or a .tar.
        image_key: the column with the picture's name, where it can't be guessed.
        caption_key: the column with the caption, where it can't be guessed; of a tensorflow-datasets set it may be one
            with a class.
        max_bad_rows: how many malformed rows and unreadable pictures to skip before giving up.
        validation_fraction: of the training pictures, where the data has no validation split; 0 for none.
        test_fraction: of the training pictures, where the data has no test split; 0 for none.
        split_seed: what the demo flowers are generated from and the splits are drawn by.

    Raises:
        UserError: if the data can't be found, read, or split.
    """
    fractions = check_fractions(validation_fraction, test_fraction)
    data = os.fspath(data)
    if data == "demo":
        return captioning.drawn(demo_flowers, split_seed)
    if data.startswith("tfds:"):
        image = Column(captioning.IMAGE_NAMES, "--image_key", image_key)
        caption = Column(CAPTION_NAMES, "--caption_key", caption_key)
        name = data.removeprefix("tfds:")
        return captioning.load_tfds(name, image, caption, written_or_class_names, fractions, split_seed)
    return captioning.load(
        data,
        image_key=image_key,
        caption_key=caption_key,
        max_bad_rows=max_bad_rows,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
    )


def written_or_class_names(
    features: Mapping[str, Any], spec: Mapping[str, Any], caption: Column, where: str
) -> Callable[[Mapping[str, Any]], tf.Tensor]:
    """The captions that a set has, or one a picture that is made of the name of its class."""
    import tensorflow_datasets as tfds

    classes = [key for key in features if isinstance(features[key], tfds.features.ClassLabel)]
    try:
        return captioning.written_captions(features, spec, caption, where)
    except UserError:
        if caption.key is None and len(classes) == 1:
            key = classes[0]
        elif caption.key in classes:
            key = caption.key
        else:
            raise
    captions = tf.constant([_sentence(name) for name in features[key].names])
    # A class of -1 is how these sets say that it isn't known; such a picture has no caption.
    return lambda row: tf.boolean_mask(captions, tf.one_hot(row[key], len(captions), True, False))


def _sentence(name: str) -> str:
    words = " ".join(name.replace("_", " ").split())
    return f"a photo of {'an' if words[:1].lower() in 'aeiou' else 'a'} {words}"
