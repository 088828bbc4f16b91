"""One prediction: checks a request against the model's signature and runs it. Both protocols end up here."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import grpc
import tensorflow as tf

from keras_apps.serving.catalog import LoadedVersion
from keras_apps.serving.request_error import RequestError, invalid

if TYPE_CHECKING:
    import numpy as np
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

DEFAULT_SIGNATURE = "serving_default"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def signature_def(loaded: LoadedVersion, name: str) -> SignatureDef:
    """What a signature takes and gives; "" stands for the default one.

    Raises:
        RequestError: FAILED_PRECONDITION if the model has no such signature, as TensorFlow Serving has it.
    """
    name = name or DEFAULT_SIGNATURE
    if name not in loaded.functions:
        there = ", ".join(sorted(loaded.functions))
        raise RequestError(
            grpc.StatusCode.FAILED_PRECONDITION, f"model {loaded.model!r} has no signature {name!r}; it has: {there}"
        )
    return loaded.signature_defs[name]


def predict(
    loaded: LoadedVersion,
    signature_name: str,
    inputs: Mapping[str, np.ndarray],
    output_filter: Collection[str] = (),
) -> dict[str, tf.Tensor]:
    """Runs a signature.

    Args:
        loaded: the model's version.
        signature_name: "" for the default signature.
        inputs: an array per input; strings are arrays of objects, since those of bytes drop trailing zeros.
        output_filter: the outputs wanted; none for all.

    Raises:
        RequestError: INVALID_ARGUMENT if the inputs or the filter don't fit the signature, or are more examples than
            TensorFlow Serving would take; the status the graph ended with, its message made readable, if it fails.
    """
    signature = signature_def(loaded, signature_name)
    _check_names(inputs, signature.inputs)
    unknown = sorted(set(output_filter) - set(signature.outputs))
    if unknown:
        raise invalid(f"no such output: {', '.join(unknown)}; there is: {', '.join(sorted(signature.outputs))}")
    if len(set(output_filter)) != len(output_filter):
        raise invalid("output_filter names an output twice")
    for name, array in inputs.items():
        _check_shape(name, array.shape, signature.inputs[name])
        if loaded.max_batch_size is not None and array.ndim and len(array) > loaded.max_batch_size:
            raise invalid(
                f"a request to model {loaded.model!r} holds at most {loaded.max_batch_size} examples, got "
                f"{len(array)}; send several requests"
            )
    tensors = {name: tf.constant(array, signature.inputs[name].dtype) for name, array in inputs.items()}
    try:
        outputs = loaded.functions[signature_name or DEFAULT_SIGNATURE](**tensors)
    except tf.errors.OpError as error:
        code = _CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)
        raise RequestError(code, readable(error.message)) from error
    return {name: outputs[name] for name in output_filter or sorted(outputs)}


def _check_names(inputs: Mapping[str, np.ndarray], infos: Mapping[str, TensorInfo]) -> None:
    missing, extra = sorted(set(infos) - set(inputs)), sorted(set(inputs) - set(infos))
    if missing or extra:
        problems = [f"missing input: {', '.join(missing)}"] * bool(missing)
        problems += [f"unknown input: {', '.join(extra)}"] * bool(extra)
        raise invalid(f"{'; '.join(problems)}; the signature takes: {', '.join(sorted(infos))}")


def _check_shape(name: str, shape: tuple[int, ...], info: TensorInfo) -> None:
    expected = tf.TensorShape(info.tensor_shape)
    if not expected.is_compatible_with(shape):
        wanted = [-1 if size is None else size for size in expected.as_list()]
        raise invalid(f"input {name!r} must have the shape {wanted} (-1: any size), got {list(shape)}")


def readable(message: str) -> str:
    """The one line of a graph's error that is meant for people, without the names of nodes around it."""
    text = message.split("<stack traces unavailable>")[-1]
    text = re.sub(r"^\s*\d+ root error\(s\) found\.\s*\(0\)\s*\w+:", "", text)
    if "assertion failed: [" in text:
        text = text[text.index("assertion failed: [") :]
    text = " ".join(re.split(r"\[\[\{\{|\[Op:", text)[0].split())
    if text.startswith("assertion failed: ["):
        parts = text.removeprefix("assertion failed: [").removesuffix("]").split("] [")
        for_people = [part for part in parts[: _first_condition(parts)] if part]
        text = " ".join(for_people) or text
    return text[:500] or "the model failed without a message"


def _first_condition(parts: list[str]) -> int:
    """Where the part of an assertion's data begins that `tf.debugging` adds by itself."""
    return next((index for index, part in enumerate(parts) if part.startswith("Condition ")), len(parts))
