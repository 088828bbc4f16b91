"""Requests that a server runs before it takes any, so that nobody's request waits for a compiler."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_apps.models.servable import Signature

# TensorFlow Serving reads no more than this.
MAX_RECORDS = 1000


def write_warmup(path: Path, model: str, endpoints: Mapping[str, Signature]) -> None:
    """Writes `tf_serving_warmup_requests`: for each signature, its examples at each of its batch sizes.

    Args:
        path: of the file.
        model: its name on the server.
        endpoints: the signatures to warm up, by the names that the server knows them by.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    records = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in endpoints.items():
            for example, batch_size in itertools.product(signature.examples, signature.batch_sizes):
                request = predict_pb2.PredictRequest()
                request.model_spec.name = model
                request.model_spec.signature_name = name
                for key, spec in signature.inputs.items():
                    rows = np.stack([np.asarray(example[key])] * batch_size)
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(rows, dtype=spec.dtype))
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(log.SerializeToString())
                records += 1
    if records > MAX_RECORDS:
        raise ValueError(
            f"{records} warm-up requests for {model}; a server reads {MAX_RECORDS}: fewer examples or sizes"
        )
