"""TensorFlow Serving's gRPC services: PredictionService and ModelService, with its own stubs."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_apps.serving.catalog import Catalog
from keras_apps.serving.messages import SIGNATURE_DEF, metadata_response, model_spec, status_response
from keras_apps.serving.pool import BoundedPool
from keras_apps.serving.predict import DEFAULT_SIGNATURE, predict, signature_def
from keras_apps.serving.request_error import RequestError, invalid

logger = logging.getLogger(__name__)

_POINTER_BYTES = 8


def add_services(server: grpc.Server, catalog: Catalog, pool: BoundedPool, max_request_bytes: int) -> None:
    """Makes `server` answer for the models of `catalog`; predictions run in `pool`."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(catalog, pool, max_request_bytes), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(catalog), server)


def _version(spec: model_pb2.ModelSpec) -> int | None:
    if spec.WhichOneof("version_choice") == "version_label":
        raise RequestError(grpc.StatusCode.UNIMPLEMENTED, "version labels are not supported; name a version")
    return spec.version.value if spec.HasField("version") else None


def _answering(method: Callable) -> Callable:
    """Turns what a method raises into a gRPC status."""

    @functools.wraps(method)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request)
        except RequestError as error:
            code, message = error.code, error.message
        except Exception:
            logger.exception("%s failed", method.__name__)
            code, message = grpc.StatusCode.INTERNAL, "internal error; the server's log says more"
        context.abort(code, message)

    return answer


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the base class answers UNIMPLEMENTED to the rest."""

    def __init__(self, catalog: Catalog, pool: BoundedPool, max_request_bytes: int) -> None:
        self._catalog = catalog
        self._pool = pool
        self._max_request_bytes = max_request_bytes

    @_answering
    def Predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        with self._pool.place():
            return self._pool.executor.submit(self._predict, request).result()

    def _predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        spec = request.model_spec
        loaded = self._catalog.get(spec.name, _version(spec))
        infos = signature_def(loaded, spec.signature_name).inputs
        inputs = {
            name: self._array(name, tensor, infos[name].dtype) if name in infos else np.empty(0)
            for name, tensor in request.inputs.items()
        }
        outputs = predict(loaded, spec.signature_name, inputs, request.output_filter)
        response = predict_pb2.PredictResponse(model_spec=model_spec(loaded, spec.signature_name or DEFAULT_SIGNATURE))
        for name, tensor in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor.numpy(), tensor.dtype, tensor.shape))
        return response

    def _array(self, name: str, tensor: Any, dtype: int) -> np.ndarray:
        if tensor.dtype != dtype:
            wanted, got = tf.as_dtype(dtype).name, _dtype_name(tensor.dtype)
            raise invalid(f"input {name!r} must be of type {wanted}, got {got}")
        sizes = [dim.size for dim in tensor.tensor_shape.dim]
        if tensor.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
            raise invalid(f"input {name!r} has no definite shape")
        # The last value stands for all that are not given, so a small message can ask for a huge tensor.
        # A string's own size is 0 here; the pointer to it counts, and what it holds where it is repeated.
        strings = tensor.string_val
        repeated = len(strings[-1]) if len(strings) else 0
        size = tf.as_dtype(dtype).size
        missing = max(math.prod(sizes) - len(strings), 0)
        if math.prod(sizes) * (size or _POINTER_BYTES) + missing * repeated > self._max_request_bytes:
            raise RequestError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"input {name!r} is larger than {self._max_request_bytes} bytes"
            )
        try:
            return tf.make_ndarray(tensor)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise invalid(f"input {name!r} is malformed: {error}") from None

    @_answering
    def GetModelMetadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must name a metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid(f"metadata field {field!r} is not supported; {SIGNATURE_DEF!r} is")
        return metadata_response(self._catalog, request.model_spec.name, _version(request.model_spec))


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; the base class answers UNIMPLEMENTED to the rest."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @_answering
    def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        return status_response(self._catalog, request.model_spec.name, _version(request.model_spec))


def _dtype_name(dtype: int) -> str:
    try:
        return tf.as_dtype(dtype).name
    except TypeError:
        return f"unknown type {dtype}"
