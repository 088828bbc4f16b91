"""Tensors as plain values that JSON carries."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def plain(name: str, values: np.ndarray) -> Any:
    """Nested lists of numbers, of text, or, where the name ends in `_bytes`, of `{"b64": ...}`.

    Args:
        name: of the input or output.
        values: an array of any shape; strings as bytes or str.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "OSU":
        return values.tolist()

    def one(value: bytes | str | list) -> Any:
        if isinstance(value, list):
            return [one(item) for item in value]
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value

    return one(values.tolist())
