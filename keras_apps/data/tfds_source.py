"""Data sets of tensorflow-datasets by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keras_apps.errors import UserError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


def prepared(name: str) -> tfds.core.DatasetBuilder:
    """Returns the builder of a data set that is on disk (in `TFDS_DATA_DIR`), downloading it if it is not.

    Raises:
        UserError: if there is no such data set, or it can't be downloaded.
    """
    import tensorflow_datasets as tfds

    folder = os.environ.get("TFDS_DATA_DIR")
    try:
        builder = tfds.builder(name, data_dir=folder)
    except ValueError as error:
        # Its message is a page of all names known.
        raise UserError(
            f"tfds:{name}: tensorflow-datasets has no such data set or config ({_first_line(error)}); the names are on "
            "tensorflow.org/datasets/catalog"
        ) from error
    if not builder.is_prepared():
        try:
            builder.download_and_prepare()
        except Exception as error:
            # Each of hundreds of data sets fails in its own way without a network, with as many kinds of exceptions.
            raise UserError(
                f"tfds:{name}: it is not in {builder.data_dir} and can't be downloaded "
                f"({type(error).__name__}: {_first_line(error)}); prepare it where there is a network with `tfds build "
                f"{name}`, copy it here and set TFDS_DATA_DIR"
            ) from error
    return builder


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200].rstrip(" .:")
