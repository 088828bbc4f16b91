"""How many floating-point operations a second this machine does at its best: `python -m benchmarks.machine_peak`.

The other benchmarks tell what share of it they reach.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Sequence

import tensorflow as tf

from benchmarks import timing

SIZES = (512, 1024, 2048, 3072)


@dataclasses.dataclass(frozen=True)
class Peak:
    """The fastest product of two square matrices.

    Args:
        dtype: of the matrices.
        size: rows of the fastest.
        gflops: thousand million operations a second in it.
        by_size: the same for each size that was tried.
    """

    dtype: str
    size: int
    gflops: float
    by_size: dict[int, float]


@functools.cache
def matmul_peak(dtype: str = "float32", sizes: Sequence[int] = SIZES, calls: int = 50, seconds: float = 1.5) -> Peak:
    """Measures the peak once in a process; a multiplication and an addition count as two operations.

    Args:
        dtype: of the matrices.
        sizes: rows (and columns) of the matrices to try.
        calls: of each size, at the most.
        seconds: for each size.
    """
    by_size = {}
    multiply = tf.function(tf.matmul, autograph=False)
    for size in sizes:
        a, b = (tf.cast(tf.random.stateless_uniform([size, size], [size, seed]), dtype) for seed in (1, 2))
        call = functools.partial(multiply, a, b)
        call()
        (timings,) = timing.time_calls([call], calls=calls, seconds=seconds)
        by_size[size] = 2 * size**3 / timings.best / 1e9
    best = max(by_size, key=by_size.__getitem__)
    return Peak(dtype, best, by_size[best], by_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="rows of the square matrices")
    parser.add_argument("--seconds", type=float, default=1.5, help="for each size and number format")
    args = parser.parse_args()
    print(timing.machine(), end="\n\n")
    peaks = [matmul_peak(dtype, tuple(args.sizes), seconds=args.seconds) for dtype in ("float32", "bfloat16")]
    first = peaks[0]
    rows = [
        [peak.dtype, *(f"{peak.by_size[size]:.0f}" for size in args.sizes)]
        + [f"{peak.gflops:.0f}", f"{peak.gflops / first.gflops:.2f}"]
        for peak in peaks
    ]
    print(timing.table(["matmul, GFLOP/s", *(f"{n} x {n}" for n in args.sizes), "peak", "to float32"], rows))


if __name__ == "__main__":
    timing.run(main)
