"""Splits that keep what belongs together on one side."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence


def shuffled(count: int, seed: int) -> list[int]:
    """Returns the numbers below `count` in an order drawn by the seed."""
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order


def split(
    texts: Sequence[str], labels: Sequence[str], fractions: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Deals the rows out to `train` and the named parts."""
    order = shuffled(len(texts), seed)
    parts: dict[str, list[int]] = {}
    for name, fraction in fractions.items():
        size = max(1, round(fraction * len(texts)))
        parts[name], order = order[:size], order[size:]
    return {"train": order, **parts}
