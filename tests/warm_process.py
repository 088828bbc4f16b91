"""Runs the command line in a process forked from one that has imported TensorFlow, which takes seconds each time."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

PRELOADED = ["keras_apps.models.translation", "keras_apps.training.fit", "keras_apps.export.saved_model", __name__]


def context() -> multiprocessing.context.BaseContext:
    """What makes such processes."""
    # macOS's own libraries do not bear to be forked.
    made = multiprocessing.get_context("spawn" if sys.platform == "darwin" else "forkserver")
    made.set_forkserver_preload(PRELOADED)
    return made


def run(
    arguments: list[str], cwd: Path, input: str | None, env: dict[str, str], timeout: float
) -> subprocess.CompletedProcess:
    """What `subprocess.run` gives of `python -m apps.command_line ARGUMENTS`."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        for stream in streams:
            stream.write_text(input or "" if stream.name == "stdin" else "")
        process = context().Process(target=_run, args=(arguments, cwd, streams, env))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, timeout)
        out, err = (stream.read_text() for stream in streams[1:])
        return subprocess.CompletedProcess(arguments, process.exitcode, out, err)


def _run(arguments: list[str], cwd: Path, streams: list[Path], env: dict[str, str]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(os.open(stream, os.O_RDWR | os.O_APPEND), number)
    sys.stdin = os.fdopen(0)
    os.chdir(cwd)
    os.environ.update(env)
    sys.argv = ["keras-apps", *arguments]
    runpy.run_module("apps.command_line", run_name="__main__")
