"""What a frozen encoder makes of each picture, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_apps.files import TEMPORARY_MARK, remove_incomplete, writing
from keras_apps.models.servable import ServableModel, Tensors
from keras_apps.progress import told

logger = logging.getLogger(__name__)

BATCH = 32
_HOUR = 3600


def cache_folder() -> Path:
    """Where features are kept: below the folder that `KERAS_APPS_CACHE` names, else below `~/.cache/keras_apps`."""
    root = os.environ.get("KERAS_APPS_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "keras_apps") / "features"


def with_features(model: ServableModel, prepared: tf.data.Dataset) -> tf.data.Dataset:
    """Prepared examples with the picture's `features` in place of its `image`.

    Goes through all pictures. The features of those that were never seen are computed in batches and written, a file
    for each, beside and renamed: an interrupted pass goes on, and a damaged file is computed again. The folder is named
    after all that they depend on (`features_key`), a file after the picture.

    Args:
        model: one that has features.
        prepared: examples of known number.
    """
    folder = cache_folder() / model.features_key()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_incomplete(folder, older_than=_HOUR)
    image = prepared.element_spec["image"]
    compute = tf.function(
        model.features, input_signature=[tf.TensorSpec([None, *image.shape], image.dtype)], autograph=False
    )
    output = compute.get_concrete_function().structured_outputs
    spec = tf.TensorSpec(output.shape[1:], output.dtype)
    count = int(prepared.cardinality())
    rest: list[tuple[Tensors, Path]] = []
    missing: dict[Path, np.ndarray] = {}
    computed = 0

    def write() -> None:
        for path, features in zip(missing, compute(np.stack(list(missing.values()))).numpy(), strict=True):
            _write(path, features)
        missing.clear()

    for example in told(prepared.prefetch(BATCH).as_numpy_iterator(), "features: picture", count):
        picture = example.pop("image")
        path = folder / f"{hashlib.sha256(picture.tobytes()).hexdigest()}.npy"
        rest.append((example, path))
        if path not in missing and _read(path, spec) is None:
            missing[path] = picture
            computed += 1
        if len(missing) == BATCH:
            write()
    if missing:
        write()
    if computed:
        logger.info("features of %d pictures computed, of %d found in %s", computed, count - computed, folder)

    def examples() -> Iterator[Tensors]:
        for example, path in rest:
            features = _read(path, spec)
            if features is None:
                raise FileNotFoundError(f"{path} has vanished or was damaged during training; start again")
            yield example | {"features": features}

    signature = {name: each for name, each in prepared.element_spec.items() if name != "image"} | {"features": spec}
    return tf.data.Dataset.from_generator(examples, output_signature=signature).apply(
        tf.data.experimental.assert_cardinality(count)
    )


def _write(path: Path, features: np.ndarray) -> None:
    """Beside and renamed, but not flushed to the disk: what a power cut damages is computed again."""
    temporary = path.with_name(f"{TEMPORARY_MARK}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        with writing(path):
            np.save(temporary, features, allow_pickle=False)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path, spec: tf.TensorSpec) -> np.ndarray | None:
    """What the file holds; None where there is none, or it is damaged."""
    try:
        features = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = isinstance(features, np.ndarray) and features.dtype == spec.dtype.as_numpy_dtype
    return features if whole and features.shape == tuple(spec.shape) else None
