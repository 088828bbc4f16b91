"""How soon a command begins its work, and what it has imported by then: `python -m benchmarks.startup`.

Each verb is asked for what isn't there, so that it ends where its work would begin.
"""

from __future__ import annotations

import argparse
import os
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
_PROGRAM = f"""
import atexit, sys
atexit.register(lambda: print("{_MARK}", *(name for name in {HEAVY} if name in sys.modules), file=sys.stderr))
from apps import command_line
sys.argv[0] = "keras-apps"
command_line.main()
"""


def started(program: str, arguments: Sequence[str]) -> tuple[float, str]:
    """How many seconds a process took, and the last line that it wrote to the standard error.

    Args:
        program: Python code.
        arguments: of the program.
    """
    began = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    return seconds, result.stderr.strip().rpartition("\n")[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="processes for each row, of which the median counts")
    options = parser.parse_args()
    if options.times < 1:
        raise UserError("--times must be at least 1")
    print(f"{timing.machine()}\n")
    alone = np.median([started("import tensorflow", [])[0] for _ in range(options.times)])
    rows = [["`import tensorflow`", f"{alone:.2f}", ""]]
    for name, arguments in _COMMANDS.items():
        timing.progress(name)
        found = [started(_PROGRAM, arguments) for _ in range(options.times)]
        imported = found[0][1].removeprefix(_MARK).strip()
        rows.append(
            [
                f"`{f'keras-apps {name}'.strip()}`",
                f"{np.median([seconds for seconds, _ in found]):.2f}",
                imported or "none",
            ]
        )
    print(timing.table(["command", "seconds", "of the heavy packages"], rows))


if __name__ == "__main__":
    timing.run(main)
