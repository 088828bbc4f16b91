"""What the benchmarks share: repeated calls by the clock, and tables in Markdown."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_apps.errors import UserError


@dataclasses.dataclass(frozen=True)
class Timings:
    """How long each call took.

    Args:
        seconds: one number a call.
    """

    seconds: Sequence[float]

    @property
    def best(self) -> float:
        """Of the fastest call: what the machine can do when nobody disturbs it."""
        return float(np.min(self.seconds))

    @property
    def median(self) -> float:
        """Half of the calls were faster."""
        return float(np.median(self.seconds))

    @property
    def p95(self) -> float:
        """Of 20 calls, 19 were faster."""
        return float(np.percentile(self.seconds, 95))


def now() -> float:
    """Seconds on a steady clock, once the devices have done what they were given."""
    tf.test.experimental.sync_devices()
    return time.perf_counter()


def time_calls(functions: Sequence[Callable[[], Any]], *, calls: int, seconds: float) -> list[Timings]:
    """Calls the functions in turn, so that whatever else the machine does disturbs all of them alike.

    Args:
        functions: to compare; already warm.
        calls: of each, at the most.
        seconds: no new round begins after so many, but at least three are made.
    """
    taken: list[list[float]] = [[] for _ in functions]
    end = now() + seconds
    for number in range(calls):
        for function, times in zip(functions, taken, strict=True):
            began = now()
            function()
            times.append(now() - began)
        if number >= 2 and now() > end:
            break
    return [Timings(times) for times in taken]


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(aligned)} |"

    rule = ["-" * width if not column else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def machine() -> str:
    """What the numbers were measured on, and how busy it was before."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in _lines(cpuinfo) if line.startswith("model name")]
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    parts = [
        f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores",
        names[0] if names else platform.processor() or platform.machine(),
        *(gpu.get("device_name", "GPU") for gpu in gpus),
        f"TensorFlow {tf.__version__}",
    ]
    if hasattr(os, "getloadavg"):
        parts.append(f"load average before {os.getloadavg()[0]:.1f}")
    return ", ".join(parts)


def progress(message: str) -> None:
    """A line beside the tables, which alone go to the standard output."""
    print(message, file=sys.stderr, flush=True)


def run(main: Callable[[], None]) -> None:
    """Runs a script; a user's mistake is one line and exit status 2."""
    try:
        main()
    except UserError as error:
        progress(f"error: {error}")
        sys.exit(2)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
