"""Requests made to break the server: whatever comes, it answers and lives."""

import http.client
import json
import random

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

VALID = [
    ("echo", b'{"instances": ["some text", {"b64": "YWJj"}]}'),
    ("numbers", b'{"inputs": {"x": [[1.5, 2], [3, -4e2]], "n": [1, 2]}}'),
    ("numbers", b'{"signature_name": "log", "instances": [{"x": 1.0}, {"x": NaN}]}'),
    ("picture", b'{"instances": [{"image_bytes": {"b64": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"}}]}'),
]
PIECES = [
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u0000", b"\\ud800", b"\0", b"\xff", b"null", b"true", b"-"),
    *(
        b"1e999",
        b"9" * 400,
        b"NaN",
        b"-Infinity",
        b"[]",
        b"{}",
        b'{"b64": "A"}',
        b'"b64"',
        b"[" * 2000,
        b"\xef\xbb\xbf",
    ),
    *(b'"instances"', b'"inputs"', b'"x"', b'"n"', b'"text"', b'"signature_name"', b"0.1", b"2147483648", b"\n"),
]


def mutate(body, generator):
    body = bytearray(body)
    for _ in range(generator.randint(1, 6)):
        begin = generator.randrange(len(body) + 1)
        end = min(len(body), begin + generator.choice([0, 0, 1, 1, 3, 20]))
        body[begin:end] = generator.choice([generator.choice(PIECES), generator.randbytes(2), b"", body[end : end + 9]])
    return bytes(body)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_json(server, seed):
    generator = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=20)
    statuses = set()
    for _ in range(150):
        model, body = generator.choice(VALID)
        body = mutate(body, generator)
        connection.request("POST", f"/v1/models/{model}:predict", body)
        response = connection.getresponse()
        answer = json.loads(response.read())
        statuses.add(response.status)
        assert response.status in (200, 400), (body, response.status, answer)
        if response.status == 400:
            assert list(answer) == ["error"], body
            assert "\n" not in answer["error"]
            assert len(answer["error"]) < 1000, body
    connection.close()
    assert statuses == {200, 400}  # else the mutations are too tame, or too wild, to test anything


def test_mutated_protobuf(server, ask):
    """Raw bytes instead of a message, where gRPC's own parser answers INTERNAL or UNKNOWN, and odd messages."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "numbers"
    request.inputs["x"].dtype = 1
    request.inputs["x"].float_val.extend([1.0, 2.0])
    for size in (1, 2):
        request.inputs["x"].tensor_shape.dim.add(size=size)
    request.inputs["n"].dtype = 3
    request.inputs["n"].int_val.append(3)
    request.inputs["n"].tensor_shape.dim.add(size=1)
    generator = random.Random(0)
    codes = set()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=20)
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        for _ in range(300):
            data = bytearray(request.SerializeToString())
            for _ in range(generator.randint(1, 4)):
                data[generator.randrange(len(data))] = generator.randrange(256)
            try:
                call(bytes(data), timeout=20)
                codes.add(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                assert "internal error" not in error.details(), bytes(data)
                codes.add(error.code())
    assert {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND} <= codes
    assert not codes & {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert ask(server, "/v1/models/echo:predict", b'{"inputs": ["a"]}')[0] == 200
