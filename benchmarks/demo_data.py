"""What generated data cost: `python -m benchmarks.demo_data`.

A picture drawn is compared with the same picture decoded from a PNG, which is what a folder of one's own would cost.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import io
import pkgutil
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks import timing
from keras_apps import data

SETS = {
    found.name: importlib.import_module(f"{data.__name__}.{found.name}")
    for found in pkgutil.iter_modules(data.__path__)
    if found.name.startswith("demo_")
}
"""The modules of generated examples; those of pictures have `draw`."""


def row(name: str, count: int) -> list[str]:
    """A row of the table: what it takes to make the whole set, to draw one of its pictures and to decode it instead."""
    began = time.perf_counter()
    made = SETS[name].generate(0)
    seconds = time.perf_counter() - began
    examples = _leaves(made)
    cells = [f"`{name}`", f"{len(examples):,}", f"{seconds:.2f}"]
    if not hasattr(SETS[name], "draw"):
        return [*cells, *["-"] * 3]
    draw = SETS[name].draw
    drawn = _milliseconds(draw, examples[:count])
    files = [_png(draw(each)) for each in examples[:count]]
    decoded = _milliseconds(functools.partial(tf.io.decode_png, channels=3), files)
    return [*cells, f"{drawn:.2f}", f"{decoded:.2f}", f"{drawn / decoded:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200, help="of each set, to draw and to decode")
    args = parser.parse_args()
    print(timing.machine(), end="\n\n")
    header = ["data", "examples", "all thought up, seconds", "a picture drawn, ms", "decoded, ms", "drawn to decoded"]
    print(timing.table(header, [row(name, args.pictures) for name in SETS]))


def _leaves(made: Any) -> list[Any]:
    if isinstance(made, dict):
        return [leaf for part in made.values() for leaf in _leaves(part)]
    return list(made)


def _milliseconds(call: Callable[[Any], Any], given: list[Any]) -> float:
    call(given[0])
    (taken,) = timing.time_calls([lambda: [call(each) for each in given]], calls=3, seconds=60)
    return taken.best / len(given) * 1e3


def _png(drawn: np.ndarray | tuple[np.ndarray, ...]) -> bytes:
    """Of a pair, both pictures side by side."""
    stream = io.BytesIO()
    Image.fromarray(np.hstack(drawn) if isinstance(drawn, tuple) else drawn).save(stream, "PNG")
    return stream.getvalue()


if __name__ == "__main__":
    timing.run(main)
