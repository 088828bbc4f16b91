"""How soon a command begins its work, and what it has imported by then: `python -m benchmarks.startup`.

Each verb is asked for what isn't there, so that it ends where its work would begin.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np

from benchmarks import timing
from keras_apps.errors import UserError

HEAVY = (
    *("numpy", "PIL", "matplotlib", "scipy", "sklearn", "tensorflow", "keras", "keras_hub", "tensorflow_text"),
    *("sentencepiece", "tensorflow_datasets", "sacrebleu", "grpc", "tensorflow_serving", "uvicorn", "tensorboard"),
)
"""Packages that take long to import, or that most commands can do without."""

_NOWHERE = os.path.join(tempfile.gettempdir(), "nowhere")
_COMMANDS = {
    "": [],
    "sentiment --help": ["sentiment", "--help"],
    "sentiment train --help": ["sentiment", "train", "--help"],
    "sentiment predict --server": ["sentiment", "predict", "--server", "localhost:1", "--text", "a"],
    "sentiment serve": ["sentiment", "serve", "--saved_models", _NOWHERE],
    "sentiment predict --model": ["sentiment", "predict", "--model", _NOWHERE, "--text", "a"],
    "sentiment evaluate": ["sentiment", "evaluate", "--model", _NOWHERE],
    "sentiment export": ["sentiment", "export", "--model", _NOWHERE],
    **{
        f"{app} train": [app, "train", "--run_dir", _NOWHERE, "--data", _NOWHERE]
        for app in ("sentiment", "captioning", "translation", "pix2pix", "siamese")
    },
}
_MARK = "imported:"
_TELL = f"""
import atexit, sys
atexit.register(lambda: print("{_MARK}", *(name for name in {HEAVY} if name in sys.modules), file=sys.stderr))
"""
_TENSORFLOW = _TELL + "import tensorflow"
_PROGRAM = f"""{_TELL}
from apps import command_line
sys.argv[0] = "keras-apps"
command_line.main()
"""


def started(program: str, arguments: Sequence[str]) -> tuple[float, float, str]:
    """How many seconds a process took by the clock and of the processor, and the last line of its standard error.

    Args:
        program: Python code.
        arguments: of the program.
    """
    began, used = time.perf_counter(), _used()
    result = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    return time.perf_counter() - began, _used() - used, result.stderr.strip().rpartition("\n")[2]


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _row(name: str, program: str, arguments: Sequence[str], times: int) -> list[str]:
    timing.progress(name)
    seconds, used, said = zip(*(started(program, arguments) for _ in range(times)), strict=True)
    imported = said[0].removeprefix(_MARK).strip() if _MARK in said[0] else ""
    return [f"`{name}`", f"{np.median(seconds):.2f}", f"{np.median(used):.2f}", imported or "none"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="processes for each row, of which the median counts")
    options = parser.parse_args()
    if options.times < 1:
        raise UserError("--times must be at least 1")
    print(f"{timing.machine()}\n")
    rows = [_row("import tensorflow", _TENSORFLOW, [], options.times)]
    for name, arguments in _COMMANDS.items():
        rows.append(_row(f"keras-apps {name}".strip(), _PROGRAM, arguments, options.times))
    print(timing.table(["command", "seconds", "of the processor", "of the heavy packages"], rows))


if __name__ == "__main__":
    timing.run(main)
