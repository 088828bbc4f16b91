"""What the devices at hand are, and what `auto` means on them."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path

import tensorflow as tf

from keras_apps.models.servable import ServableModel


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def has_bfloat16_cpu() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (Linux only; elsewhere no)."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and any(flag in cpuinfo.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def choose_precision(requested: str, model: type[ServableModel]) -> str:
    """The Keras dtype policy that `--precision` means for a model here."""
    if requested != "auto":
        return requested
    if has_gpu():
        return model.precision["gpu"]
    return model.precision["cpu"] if has_bfloat16_cpu() else "float32"


def choose_xla(requested: str, model: type[ServableModel]) -> bool:
    """Whether `--xla` means to compile a model's losses and gradients here."""
    if requested != "auto":
        return requested == "on"
    return model.xla_pays["gpu" if has_gpu() else "cpu"]


def strategy_scope(distribute: str) -> contextlib.AbstractContextManager:
    """The scope in which a model is to be built and fitted."""
    if distribute == "none":
        return contextlib.nullcontext()
    return _mirrored_strategy().scope()


@functools.cache
def _mirrored_strategy() -> tf.distribute.Strategy:
    """One for the whole process: a second would number its collective operations from the same start, and clash."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])
