"""The gRPC side of the client; importing it imports TensorFlow, since TensorFlow Serving's stubs do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_apps.errors import UserError
from keras_apps.serving.client_errors import refused, timed_out, unreachable
from keras_apps.serving.json_tensor import shortest_floats
from keras_apps.serving.messages import SIGNATURE_DEF, signature_map

_BAD_REQUEST = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
)
"""What over REST is HTTP's 400."""
_BUSY = ("queue to which this task was submitted is full", "overloaded")
"""In the words of TensorFlow Serving and of the embedded server."""


class Grpc:
    """The same three questions as over REST.

    Args:
        host: the server.
        port: its gRPC port.
        timeout: how many seconds a request may take.
    """

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._timeout = timeout
        # -1: pictures and embeddings soon exceed gRPC's default of 4 MB; the server has the limit that counts.
        # What http_proxy names is for the web; over REST it isn't asked either.
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_http_proxy", 0),
        ]
        channel = grpc.insecure_channel(self._where, options)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._model = model_service_pb2_grpc.ModelServiceStub(channel)

    def predict(
        self, model: str, inputs: Mapping[str, Any], signature: str, version: int | None, infos: Mapping[str, Any]
    ) -> dict[str, list]:
        """Runs a signature; see `Client.predict`."""
        request = predict_pb2.PredictRequest(model_spec=_model_spec(model, version, signature))
        for name, value in inputs.items():
            dtype = tf.as_dtype(types_pb2.DataType.Value(infos["inputs"][name]["dtype"]))
            request.inputs[name].CopyFrom(_tensor_proto(name, value, dtype))
        outputs = self._ask(model, self._prediction.Predict, request).outputs
        return {name: _to_python(name, tf.make_ndarray(tensor)) for name, tensor in outputs.items()}

    def status(self, model: str) -> dict[str, Any]:
        """The status as REST prints it."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=_model_spec(model))
        return _as_dict(self._ask(model, self._model.GetModelStatus, request))

    def metadata(self, model: str, version: int | None) -> dict[str, Any]:
        """The signatures as REST prints them."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=_model_spec(model, version), metadata_field=[SIGNATURE_DEF]
        )
        return _as_dict(signature_map(self._ask(model, self._prediction.GetModelMetadata, request)))

    def _ask(self, model: str, method: Callable, request: Message) -> Any:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            code, reason = error.code(), error.details() or ""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise timed_out(self._where, self._timeout)
        # Nobody here cancels; a server that ends does, before it took the request.
        if code is grpc.StatusCode.CANCELLED:
            raise unreachable(self._where, "it ended before it answered")
        # A server that has too much to do answers with the code of one that is not there.
        if code is grpc.StatusCode.UNAVAILABLE and not any(each in reason for each in _BUSY):
            raise unreachable(self._where, reason)
        raise refused(self._where, model, code.name, reason, bad_request=code in _BAD_REQUEST)


def _model_spec(model: str, version: int | None = None, signature: str = "") -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=model, signature_name=signature)
    if version is not None:
        spec.version.value = version
    return spec


def _as_dict(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _tensor_proto(name: str, value: Any, dtype: tf.DType) -> Message:
    """A tensor of the type that the model wants; what would lose something is refused, as REST refuses it."""
    try:
        if dtype == tf.string:
            array = np.vectorize(_to_bytes, otypes=[object])(np.array(value, object))
        else:
            given = np.asarray(value)
            array = given.astype(dtype.as_numpy_dtype, casting="same_kind" if given.size else "unsafe")
            kinds_differ = given.size and (given.dtype == np.bool_) != (dtype == tf.bool)
            if kinds_differ or (dtype.is_integer and (array != given).any()):
                raise TypeError(f"{given.dtype} values do not fit")
        return tf.make_tensor_proto(array, dtype, array.shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"input {name!r} cannot be sent as {dtype.name}: {error}") from None


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, bytes):
        return value
    raise TypeError(f"a {type(value).__name__} is no text")


def _to_python(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        binary = name.endswith("_bytes")
        return np.vectorize(lambda value: value if binary else value.decode("utf-8", "replace"), otypes=[object])(
            array
        ).tolist()
    return shortest_floats(array) if tf.as_dtype(array.dtype).is_floating else array.tolist()
