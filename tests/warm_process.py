"""Runs the command line in a process forked from one that has imported TensorFlow, which takes seconds each time."""

import multiprocessing
import os
import pkgutil
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import apps
from keras_apps import models

# Not what is run as the main program, which may not have been imported before.
PRELOADED = [
    *(each.name for each in pkgutil.iter_modules(apps.__path__, "apps.") if each.name != "apps.command_line"),
    *(each.name for each in pkgutil.iter_modules(models.__path__, "keras_apps.models.")),
    "benchmarks.demo_data",
    "keras_apps.export.saved_model",
    "keras_apps.serving.embedded",
    "keras_apps.training.curves",
    "keras_apps.training.fit",
    "keras_hub.layers",
    "sacrebleu",
    "sklearn.manifold",
    "sklearn.metrics",
    "tensorboard.summary",
    "tensorflow_text",
    __name__,
]


def context() -> multiprocessing.context.BaseContext:
    """What makes such processes."""
    # macOS's own libraries do not bear to be forked.
    made = multiprocessing.get_context("spawn" if sys.platform == "darwin" else "forkserver")
    made.set_forkserver_preload(PRELOADED)
    return made


def run(
    arguments: list[str],
    cwd: Path,
    input: str | None,
    env: dict[str, str],
    timeout: float,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess:
    """What `subprocess.run` gives of `python -m apps.command_line ARGUMENTS`; `before` is called in the process first."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        for stream in streams:
            stream.write_text(input or "" if stream.name == "stdin" else "", errors="surrogateescape")
        process = start(arguments, cwd, streams, env, before)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, timeout)
        out, err = (stream.read_text() for stream in streams[1:])
        return subprocess.CompletedProcess(arguments, process.exitcode, out, err)


def in_passing(examples: int = 40) -> None:
    """Makes short work of a command that is not run for its score nor its speed; for `before`.

    Args:
        examples: of each part of a demo, at the most.
    """
    from benchmarks.demo_data import SETS

    for name, demo in SETS.items():
        # Ten faces are one person's.
        most = 80 if name == "demo_faces" else examples
        if hasattr(demo, "SIZES"):
            demo.SIZES = {part: min(size, most) for part, size in demo.SIZES.items()}
        elif hasattr(demo, "ALPHABETS"):
            demo.ALPHABETS = dict.fromkeys(demo.ALPHABETS, 1)
    optimise_graphs(False)


def step_by_step() -> None:
    """The same for a training of one step, which takes longer to trace than to do."""
    import tensorflow as tf

    in_passing(examples=16)
    tf.config.run_functions_eagerly(True)
    warnings.filterwarnings("ignore", message=".* does not apply to tf.data functions")


def optimise_graphs(wanted: bool) -> None:
    """That takes longer than to run a graph once."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not wanted})


def start(
    arguments: list[str],
    cwd: Path,
    streams: Sequence[Path] = (),
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> multiprocessing.process.BaseProcess:
    """The same, but not waited for; it can be killed. Its streams are the files given, in order."""
    process = context().Process(target=_run, args=(arguments, cwd, streams, env or {}, before))
    process.start()
    return process


def _run(
    arguments: list[str], cwd: Path, streams: Sequence[Path], env: dict[str, str], before: Callable[[], None] | None
) -> None:
    for number, stream in enumerate(streams):
        os.dup2(os.open(stream, os.O_RDWR | os.O_APPEND), number)
    sys.stdin = os.fdopen(0)
    os.chdir(cwd)
    os.environ.update(env)
    if before:
        before()
    sys.argv = ["keras-apps", *arguments]
    runpy.run_module("apps.command_line", run_name="__main__")
