"""What the devices at hand are, and what `auto` means on them."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_apps.errors import UserError
from keras_apps.models.servable import ServableModel

_AMPERE = (8, 0)

logger = logging.getLogger(__name__)

_EXAMPLE = '{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}'


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def has_bfloat16() -> bool:
    """Whether what computes, the GPUs or else the CPU, multiplies bfloat16 matrices in hardware.

    NVIDIA's do from Ampere on. Of a CPU it is known on Linux; elsewhere, and of what else is a GPU, it is taken for no.
    """
    if gpus := tf.config.list_physical_devices("GPU"):
        details = map(tf.config.experimental.get_device_details, gpus)
        return all(each.get("compute_capability", (0, 0)) >= _AMPERE for each in details)
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and any(flag in cpuinfo.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def choose_precision(requested: str, model: type[ServableModel]) -> str:
    """The Keras dtype policy that `--precision` means for a model here."""
    if requested == "mixed_bfloat16" and not has_bfloat16():
        device = "this GPU" if has_gpu() else "this CPU"
        logger.warning(
            "%s has no units for bfloat16: convolutions train no faster in it than in float32, on a CPU several times "
            "as slowly; leave --precision out",
            device,
        )
    if requested != "auto":
        return requested
    return model.precision["gpu" if has_gpu() else "cpu"] if has_bfloat16() else "float32"


def choose_xla(requested: str, model: type[ServableModel]) -> bool:
    """Whether `--xla` means to compile a model's losses and gradients here."""
    if requested != "auto":
        return requested == "on"
    return model.xla_pays["gpu" if has_gpu() else "cpu"]


def strategy(distribute: str) -> tf.distribute.Strategy:
    """What `--distribute` means here; a model is to be made and compiled in its scope.

    Several machines have to find each other before TensorFlow computes anything: ask before examples are read.

    Raises:
        UserError: where TF_CONFIG does not say which machines there are, or it is too late to ask.
    """
    if distribute == "none":
        return tf.distribute.get_strategy()
    if distribute == "multi_worker" and _cluster()[0] > 1:
        return _multi_worker_strategy()
    return _mirrored_strategy()


def is_chief(distribute: str) -> bool:
    """Whether this process is the one that writes."""
    return distribute != "multi_worker" or _cluster()[1] == 0


def wait_for_all(strategy: tf.distribute.Strategy, done: int = 0) -> None:
    """Returns when all processes of the strategy have come here.

    Args:
        strategy: theirs.
        done: how far each has come, as it finds on the disk.

    Raises:
        UserError: where they find different things.
    """
    found = strategy.experimental_distribute_values_from_function(lambda context: tf.constant(done, tf.int64))
    if int(strategy.reduce("SUM", found, axis=None)) != done * strategy.num_replicas_in_sync:
        raise UserError(
            "the processes of the cluster find different checkpoints; --run_dir must be on a disk that all machines "
            "share, and may need a moment after a run was stopped"
        )


# One of each for the whole process: a second would number its collective operations from the same start, and clash.


@functools.cache
def _mirrored_strategy() -> tf.distribute.Strategy:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@functools.cache
def _multi_worker_strategy() -> tf.distribute.Strategy:
    logger.info("waiting for the other processes of the cluster")
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise UserError(
            "several machines have to find each other before TensorFlow computes anything; call "
            "keras_apps.training.hardware.strategy('multi_worker') first, before examples are read"
        ) from error


def _cluster() -> tuple[int, int]:
    """How many processes there are by TF_CONFIG, and which of them this one is; the chief is 0."""
    given = " ".join(os.environ.get("TF_CONFIG", "").split())
    received = f"received {given}" if given else "it is not set"
    try:
        config = json.loads(given)
        jobs, task = config["cluster"], config["task"]
        tasks = [(job, index) for job in ("chief", "worker") for index, _ in enumerate(jobs.get(job, []))]
        if wrong := _wrong_in(jobs):
            received += f", where {wrong}"
        else:
            return len(tasks), tasks.index((task["type"], int(task["index"])))
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise UserError(
        "--distribute multi_worker needs the environment variable TF_CONFIG, on the first of two machines say "
        f"{_EXAMPLE}; {received}"
    )


def _wrong_in(jobs: dict[str, Any]) -> str | None:
    """What TensorFlow would make nothing of, or wait for ever with."""
    addresses = []
    for job, there in jobs.items():
        if job not in ("chief", "worker"):
            return f'"{job}" is neither "chief" nor "worker"'
        if not isinstance(there, list):
            return f'"{job}" is no list'
        for address in there:
            if not isinstance(address, str) or not re.fullmatch(r".+:\d+", address):
                return f"{json.dumps(address)} is no HOST:PORT"
            if address in addresses:
                return f'"{address}" stands twice'
            addresses.append(address)
    return 'more than one is "chief"' if len(jobs.get("chief", [])) > 1 else None
