"""JSON <-> tensors as TensorFlow Serving's REST API does it.

What differs from its C++ code, in favour of the client: text that is no valid UTF-8 is answered with the replacement
character, where it would send broken JSON; small integers out of range are refused, where it wraps them.

NaN and infinities are read and written as the bare tokens `NaN`, `Infinity` and `-Infinity`, just as TensorFlow Serving
does and documents. That isn't standard JSON (a browser rejects it, Python reads it), so the server logs a warning.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import tensorflow as tf

from keras_apps.serving.request_error import RequestError, invalid

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

logger = logging.getLogger(__name__)

_BYTES_SUFFIX = "_bytes"  # TensorFlow Serving's mark for outputs that aren't text
_MAX_RANK = 32


def parse_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        RequestError: INVALID_ARGUMENT if it isn't one.
    """
    try:
        document = json.loads(body.decode("utf-8"))
    except RecursionError:
        raise invalid("JSON parse error: nested too deeply") from None
    except ValueError as error:  # bad UTF-8, bad JSON, a number of thousands of digits
        raise invalid(f"JSON parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON parse error: expected an object, got {_show(document)}")
    return document


def dump(answer: dict[str, Any]) -> bytes:
    """An answer as bytes."""
    return json.dumps(answer).encode("utf-8")


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature asked for, "" for the default one.

    Raises:
        RequestError: INVALID_ARGUMENT if it is no string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(f"'signature_name' must be a string, got {_show(name)}")
    return name


def inputs_from_json(document: Mapping[str, Any], infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    """The input tensors of a request in row form ("instances") or column form ("inputs").

    Args:
        document: the request.
        infos: the signature's inputs.

    Raises:
        RequestError: INVALID_ARGUMENT if the request doesn't have that form or its values aren't of the inputs' types.
    """
    if ("instances" in document) == ("inputs" in document):
        raise invalid("expected either 'instances' (row form) or 'inputs' (column form), and not both")
    columns = _columns_of_rows(document["instances"], infos) if "instances" in document else document["inputs"]
    if not isinstance(columns, dict) or _is_base64(columns):
        columns = {_only_input(infos): columns}
    unknown = sorted(set(columns) - set(infos))
    if unknown:
        raise invalid(f"unknown input: {', '.join(unknown)}; the signature takes: {', '.join(sorted(infos))}")
    return {name: _array(name, value, infos[name].dtype) for name, value in columns.items()}


def _columns_of_rows(rows: Any, infos: Mapping[str, TensorInfo]) -> dict[str, list]:
    if not isinstance(rows, list) or not rows:
        raise invalid(f"'instances' must be a list with at least one element, got {_show(rows)}")
    named = [isinstance(row, dict) and not _is_base64(row) for row in rows]
    if not any(named):
        return {_only_input(infos): rows}
    for index, row in enumerate(rows):
        if not named[index] or set(row) != set(infos):
            raise invalid(
                f"element {index} of 'instances' must be an object with the keys {sorted(infos)}, got {_show(row)}"
            )
    return {name: [row[name] for row in rows] for name in infos}


def _only_input(infos: Mapping[str, TensorInfo]) -> str:
    if len(infos) != 1:
        raise invalid(f"plain values do for a single input only; name the inputs: {', '.join(sorted(infos))}")
    return next(iter(infos))


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _array(name: str, value: Any, dtype: int) -> np.ndarray:
    """Level by level rather than by recursion: how deep a request nests must not decide whether the server lives."""
    shape: list[int] = []
    level = [value]
    while level and isinstance(level[0], list):
        size = len(level[0])
        if len(shape) == _MAX_RANK:
            raise invalid(f"input {name!r} is nested more than {_MAX_RANK} lists deep")
        if any(not isinstance(item, list) or len(item) != size for item in level):
            raise invalid(f"input {name!r} is ragged: its lists at depth {len(shape) + 1} differ in length")
        shape.append(size)
        level = [element for item in level for element in item]
    if any(isinstance(item, list) for item in level):
        raise invalid(f"input {name!r} is ragged: lists and values side by side at depth {len(shape)}")
    numpy_dtype, convert = _converter(tf.as_dtype(dtype))
    array = np.empty(len(level), numpy_dtype)
    for index, item in enumerate(level):
        try:
            array[index] = convert(item)
        except (ValueError, TypeError, OverflowError) as error:
            raise invalid(f"input {name!r}: {_show(item)} is not {error}") from None
    return array.reshape(shape)


def _converter(dtype: tf.DType) -> tuple[Any, Callable[[Any], Any]]:
    """The numpy type and the function that turns a JSON value into it; the function says what it expected."""
    if dtype == tf.string:
        return object, _to_bytes
    if dtype == tf.bool:
        return np.bool_, _to_bool
    if dtype in (tf.float32, tf.float64):
        return dtype.as_numpy_dtype, lambda value: _to_float(value, dtype)
    if dtype.is_integer and not dtype.is_quantized:
        return dtype.as_numpy_dtype, lambda value: _to_int(value, dtype)
    raise RequestError(grpc.StatusCode.UNIMPLEMENTED, f"JSON has no form for {dtype.name}; use gRPC")


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("valid Unicode") from None
    if not _is_base64(value):
        raise TypeError('a string or {"b64": "..."}')
    compact = "".join(value["b64"].split())
    try:
        return base64.b64decode(compact.rstrip("=") + "=" * (-len(compact.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("valid base64") from None


def _to_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


def _to_float(value: Any, dtype: tf.DType) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number")
    exact = 2**24 if dtype == tf.float32 else 2**53
    if float(dtype.max) < abs(value) < math.inf or isinstance(value, int) and exact <= abs(value) < 2**63:
        raise ValueError(f"a number that {dtype.name} can hold without loss")
    return value


def _to_int(value: Any, dtype: tf.DType) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a whole number")
    if not dtype.min <= value <= dtype.max:
        raise ValueError(f"in the range of {dtype.name}")
    return value


def _show(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    text = f"an object with the keys {list(value)[:8]}" if isinstance(value, dict) else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def answer_as_json(outputs: Mapping[str, tf.Tensor], rows: bool) -> bytes:
    """The answer to a request in row form ("predictions") or column form ("outputs").

    Where there is one output its values stand without its name, as TensorFlow Serving has it.

    Args:
        outputs: the tensors by name.
        rows: whether the request was in row form.

    Raises:
        RequestError: INVALID_ARGUMENT if the outputs have no common batch size and rows are wanted.
    """
    columns = {name: _values(name, tensor) for name, tensor in outputs.items()}
    if rows:
        sizes = {name: tensor.shape[0] if tensor.shape.rank else None for name, tensor in outputs.items()}
        if None in sizes.values() or len(set(sizes.values())) > 1:
            raise invalid(f"the outputs have no common batch size ({sizes}); ask in column form, with 'inputs'")
        names = list(columns)
        together = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        answer = {"predictions": together if len(names) > 1 else columns[names[0]]}
    else:
        answer = {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    return dump(answer)


def _values(name: str, tensor: tf.Tensor) -> Any:
    if tensor.dtype == tf.string:
        return _strings(tensor.numpy(), name.endswith(_BYTES_SUFFIX))
    if tensor.dtype.is_floating:
        array = tensor.numpy()
        if not np.isfinite(array).all():
            logger.warning("output %r holds NaN or infinities; the answer is not standard JSON", name)
        return shortest_floats(array)
    if tensor.dtype.is_integer or tensor.dtype == tf.bool:
        return tensor.numpy().tolist()
    raise RequestError(
        grpc.StatusCode.UNIMPLEMENTED, f"JSON has no form for output {name!r} of {tensor.dtype.name}; use gRPC"
    )


def shortest_floats(array: np.ndarray) -> Any:
    """Floats as Python's, in nested lists, with no more digits than they have: 0.2 as float32 stays 0.2."""
    array = np.asarray(array)
    if array.dtype == np.float64:
        return array.tolist()
    return array.astype(np.float32).astype("U32").astype(np.float64).tolist()


def _strings(values: Any, binary: bool) -> Any:
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, list):
        return [_strings(value, binary) for value in values]
    if binary:
        return {"b64": base64.b64encode(values).decode("ascii")}
    return values.decode("utf-8", "replace")
