"""TensorFlow without its news."""

from __future__ import annotations

import os

from absl import logging


def import_tensorflow() -> None:
    """Imports TensorFlow and finds the devices, without the lines that its C++ libraries print before any setting."""
    if logging.get_verbosity() > logging.WARNING:
        return
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
