"""The gRPC services, asked with TensorFlow Serving's own stubs."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import wrappers_pb2
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)


@pytest.fixture
def prediction(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def model_service(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def spec(name, signature="", version=None, label=None):
    message = model_pb2.ModelSpec(name=name, signature_name=signature)
    if version is not None:
        message.version.CopyFrom(wrappers_pb2.Int64Value(value=version))
    if label is not None:
        message.version_label = label
    return message


def predict_request(model_spec, outputs=(), **inputs):
    request = predict_pb2.PredictRequest(model_spec=model_spec, output_filter=outputs)
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(
            value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        )
    return request


def tensor(dtype, *sizes, **values):
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in sizes])
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape=shape, **values)


X, N = np.float32([[1.5, 0.2], [3, -4]]), np.int32([2, 0])


def test_predict_equals_the_loaded_model(prediction, exported):
    response = prediction.Predict(predict_request(spec("numbers"), x=X, n=N), timeout=20)
    loaded = tf.saved_model.load(str(exported / "numbers" / "3"))
    expected = loaded.signatures["serving_default"](x=tf.constant(X), n=tf.constant(N))
    assert set(response.outputs) == set(expected)
    for name, value in expected.items():
        answer = tf.make_ndarray(response.outputs[name])
        assert tf.as_dtype(response.outputs[name].dtype) == value.dtype
        assert np.array_equal(answer, value.numpy())
    assert response.model_spec == spec("numbers", "serving_default", 3)


def test_signature_version_and_output_filter(prediction):
    response = prediction.Predict(predict_request(spec("numbers", "log", 3), x=np.float32([1])), timeout=20)
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [0.0]
    assert response.model_spec.signature_name == "log"
    response = prediction.Predict(predict_request(spec("numbers"), ["next", "name"], x=X, n=N), timeout=20)
    assert set(response.outputs) == {"next", "name"}


def test_strings_keep_every_byte(prediction):
    data = [b"a\0", b"\xff\0\0", b""]
    request = predict_request(spec("echo"), text=tf.make_tensor_proto(np.array(data, object)))
    answer = tf.make_ndarray(prediction.Predict(request, timeout=20).outputs["text"])
    assert answer.tolist() == [each + b"!" for each in data]


def test_one_value_may_stand_for_a_whole_tensor(prediction):
    request = predict_request(spec("numbers", "log"), x=tensor(types_pb2.DT_FLOAT, 3, float_val=[1.0]))
    assert tf.make_ndarray(prediction.Predict(request, timeout=20).outputs["y"]).tolist() == [0.0, 0.0, 0.0]


CODE = grpc.StatusCode


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (predict_request(spec("absent"), text=["a"]), CODE.NOT_FOUND, "no model 'absent'"),
        (predict_request(spec(""), text=["a"]), CODE.NOT_FOUND, "no model ''"),
        (predict_request(spec("echo", version=2), text=["a"]), CODE.NOT_FOUND, "version 2"),
        (predict_request(spec("echo", version=0), text=["a"]), CODE.NOT_FOUND, "version 0"),
        (predict_request(spec("echo", label="stable"), text=["a"]), CODE.UNIMPLEMENTED, "labels"),
        (predict_request(spec("echo", "absent"), text=["a"]), CODE.FAILED_PRECONDITION, "no signature 'absent'"),
        (predict_request(spec("echo")), CODE.INVALID_ARGUMENT, "missing input: text"),
        (predict_request(spec("echo"), text=["a"], more=["a"]), CODE.INVALID_ARGUMENT, "unknown input: more"),
        (predict_request(spec("echo"), text=[1]), CODE.INVALID_ARGUMENT, "must be of type string, got int32"),
        (predict_request(spec("echo"), text=tensor(999, 1)), CODE.INVALID_ARGUMENT, "unknown type 999"),
        (predict_request(spec("echo"), text=[["a"]]), CODE.INVALID_ARGUMENT, "shape [-1]"),
        (predict_request(spec("echo"), ["absent"], text=["a"]), CODE.INVALID_ARGUMENT, "no such output: absent"),
        (predict_request(spec("echo"), ["text", "text"], text=["a"]), CODE.INVALID_ARGUMENT, "twice"),
        (predict_request(spec("numbers"), x=X, n=N[:1].repeat(3)), CODE.INVALID_ARGUMENT, "shapes"),
        (predict_request(spec("picture"), image_bytes=["no picture"]), CODE.INVALID_ARGUMENT, "Unknown image file"),
        (
            predict_request(spec("numbers", "log"), x=tensor(types_pb2.DT_FLOAT, -1, float_val=[1.0])),
            CODE.INVALID_ARGUMENT,
            "no definite shape",
        ),
        (
            predict_request(spec("numbers", "log"), x=tensor(types_pb2.DT_FLOAT, 2, float_val=[1.0, 2.0, 3.0])),
            CODE.INVALID_ARGUMENT,
            "malformed",
        ),
        (
            predict_request(spec("numbers", "log"), x=tensor(types_pb2.DT_FLOAT, 2, tensor_content=b"abc")),
            CODE.INVALID_ARGUMENT,
            "malformed",
        ),
        (
            predict_request(spec("numbers", "half"), x=tensor(types_pb2.DT_HALF, 1, half_val=[2**31 - 1])),
            CODE.INVALID_ARGUMENT,
            "malformed",
        ),
        (
            predict_request(spec("numbers", "log"), x=tensor(types_pb2.DT_FLOAT, 2**40, float_val=[1.0])),
            CODE.RESOURCE_EXHAUSTED,
            "larger than 200000 bytes",
        ),
        (
            predict_request(spec("echo"), text=tensor(types_pb2.DT_STRING, 2**30, string_val=[b"a"])),
            CODE.RESOURCE_EXHAUSTED,
            "larger than 200000 bytes",
        ),
        (
            predict_request(spec("echo"), text=tensor(types_pb2.DT_STRING, 64, string_val=[b"a" * 10_000])),
            CODE.RESOURCE_EXHAUSTED,
            "larger than 200000 bytes",
        ),
        (predict_request(spec("echo"), text=["a" * 300_000]), CODE.RESOURCE_EXHAUSTED, "larger"),
    ],
)
def test_bad_predict_requests(prediction, request_, code, message):
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Predict(request_, timeout=20)
    assert caught.value.code() == code, caught.value.details()
    assert message in caught.value.details()
    assert "\n" not in caught.value.details()


def test_metadata(prediction):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=spec("numbers"), metadata_field=["signature_def"]
    )
    response = prediction.GetModelMetadata(request, timeout=20)
    assert response.model_spec == spec("numbers", version=3)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["log"].inputs["x"].dtype == types_pb2.DT_FLOAT


@pytest.mark.parametrize(
    ("name", "fields", "code"),
    [
        ("absent", ["signature_def"], CODE.NOT_FOUND),
        ("echo", [], CODE.INVALID_ARGUMENT),
        ("echo", ["author"], CODE.INVALID_ARGUMENT),
    ],
)
def test_bad_metadata_requests(prediction, name, fields, code):
    request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec(name), metadata_field=fields)
    with pytest.raises(grpc.RpcError) as caught:
        prediction.GetModelMetadata(request, timeout=20)
    assert caught.value.code() == code


def test_status(model_service):
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec("echo"))
    (status,) = model_service.GetModelStatus(request, timeout=20).model_version_status
    assert (status.version, status.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    with pytest.raises(grpc.RpcError) as caught:
        model_service.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(model_spec=spec("absent")), timeout=20)
    assert caught.value.code() == CODE.NOT_FOUND


def test_what_is_left_to_tensorflow_serving_is_unimplemented(prediction, model_service):
    calls = [
        (prediction.Classify, classification_pb2.ClassificationRequest()),
        (prediction.Regress, regression_pb2.RegressionRequest()),
        (prediction.MultiInference, inference_pb2.MultiInferenceRequest()),
        (model_service.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest()),
    ]
    for call, request in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=20)
        assert caught.value.code() == CODE.UNIMPLEMENTED
