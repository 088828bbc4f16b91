"""TensorFlow and other C++ libraries without their news."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator

from absl import logging


def import_tensorflow() -> None:
    """Imports TensorFlow and finds the devices, without the lines that its C++ libraries print before any setting."""
    # A process takes of a GPU what it needs: shards, or a server beside a training, find room on the same one.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    # What is imported stays; to look through it for what nobody holds takes a fifth of the import, and again later.
    gc.disable()
    try:
        with without_stderr():
            import tensorflow as tf

            tf.config.list_physical_devices()
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def without_stderr() -> Iterator[None]:
    """Drops what the process, its C++ libraries included, writes to its standard error, unless --verbosity wants it."""
    if logging.get_verbosity() > logging.WARNING:
        yield
        return
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
