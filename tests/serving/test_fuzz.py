"""Requests, answers and addresses that are valid but for what chance did to them; see also `test_hostile_input`."""

import http.server
import json
import logging
import random
import socket
import threading
from collections import Counter

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_apps.errors import UserError
from keras_apps.serving.client import Client
from keras_apps.serving.gallery import Gallery
from tests.mutations import changed, mutated

PATHS = [
    "/v1/models/echo",
    "/v1/models/echo/metadata",
    "/v1/models/numbers/versions/3:predict",
    "/v1/models/picture/versions/7/metadata",
    "/v1/models/echo/labels/stable:predict",
    "/v1/models/echo:classify",
]
DOCUMENTS = [
    ("echo", {"instances": ["some text", {"b64": "YWJj"}, {"text": "x"}]}),
    ("echo", {"inputs": {"text": ["some text"]}, "signature_name": "serving_default"}),
    ("numbers", {"inputs": {"x": [[1.5, 2], [3, -4e2]], "n": [1, 2]}}),
    ("numbers", {"instances": [{"x": [1.5, 2], "n": 1}, {"x": [0, 0], "n": 2}]}),
    ("numbers", {"signature_name": "other_types", "inputs": [1.0, 2]}),
    ("picture", {"instances": [{"image_bytes": {"b64": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"}}]}),
]
REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED}
REFUSALS |= {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.RESOURCE_EXHAUSTED}


@pytest.fixture(autouse=True)
def no_internal_error(caplog):
    """The server logs what it did not foresee as an error, with its traceback."""
    yield
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def send(server, request):
    """Raw bytes, and the status of the answer."""
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(2**16):
            answer += chunk
    return int(answer.split(b" ", 2)[1]) if answer else None


def ask_odd_paths(server, seed, count):
    generator, statuses = random.Random(seed), Counter()
    for _ in range(count):
        path = mutated(generator.choice(PATHS).encode(), generator)[:2000]
        method = generator.choice([b"GET", b"POST", b"GET", b"DELETE", b"\xff"])
        head = method + b" " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
        statuses[send(server, head if generator.random() < 0.8 else mutated(head, generator))] += 1
    return statuses


def test_paths_and_heads(server):
    statuses = ask_odd_paths(server, 0, 150)
    # None where the head never ended; 5xx are only those that say what is not supported.
    assert {200, 400, 404, 405} <= statuses.keys() <= {200, 400, 404, 405, 408, 413, 431, 501, None}, statuses


def ask_odd_documents(server, ask, seed, count):
    generator, statuses = random.Random(seed), Counter()
    for _ in range(count):
        model, document = generator.choice(DOCUMENTS)
        for _ in range(generator.choice([1, 1, 2, 4])):
            document = changed(document, generator)
        body = json.dumps(document).encode()
        status, answer = ask(server, f"/v1/models/{model}:predict", body)
        statuses[status] += 1
        if status != 200:
            (message,) = json.loads(answer).values()
            assert status in (400, 413, 501) and "\n" not in message and len(message) < 1000, (body, answer)
    return statuses


def test_json_of_wrong_types(server, ask):
    assert ask_odd_documents(server, ask, 0, 250).keys() >= {200, 400}


def odd_tensor(generator):
    proto = tf.make_tensor_proto(generator.choice([[1.5, 2.0], [[1, 2]], ["a", "b"], 3, [], [True]]))
    if generator.random() < 0.5:
        proto.dtype = generator.choice([*range(0, 25), 101, 103, 2**31 - 1])
    if generator.random() < 0.5:
        del proto.tensor_shape.dim[:]
        for _ in range(generator.choice([0, 1, 2, 2, 300])):
            proto.tensor_shape.dim.add(size=generator.choice([0, 1, 2, 3, -1, 2**31, 2**62]))
    proto.tensor_shape.unknown_rank = generator.random() < 0.1
    for field in (proto.float_val, proto.int_val, proto.half_val, proto.int64_val):
        if generator.random() < 0.2:
            field.extend(generator.choice([[], [1], [1, 2, 3], [2**31 - 1]]))
    if generator.random() < 0.3:
        proto.tensor_content = generator.randbytes(generator.choice([0, 1, 7, 8, 16]))
    if generator.random() < 0.2:
        proto.string_val.append(generator.choice([b"", b"\xff", b"text"]))
    return proto


def ask_odd_tensors(server, seed, count):
    generator, codes = random.Random(seed), Counter()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for _ in range(count):
            model, signature, names = generator.choice(
                [
                    ("echo", "", ["text"]),
                    ("numbers", "", ["x", "n"]),
                    ("numbers", "log", ["x"]),
                    ("picture", "", ["image_bytes"]),
                ]
                + [("numbers", "other_types", ["x"]), ("numbers", "half", ["x"])]
            )
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model if generator.random() < 0.95 else "\u202e\0"
            request.model_spec.signature_name = signature if generator.random() < 0.95 else "é\n"
            if generator.random() < 0.1:
                request.model_spec.version.value = generator.choice([1, 3, -1, 2**63 - 1])
            if generator.random() < 0.1:
                request.output_filter.extend(generator.choice([["text"], ["y", "y"], [""], ["\n"]]))
            for name in names if generator.random() < 0.95 else ["", "x", "\n"]:
                request.inputs[name].CopyFrom(odd_tensor(generator))
            try:
                stub.Predict(request, timeout=20)
                codes[grpc.StatusCode.OK] += 1
            except grpc.RpcError as error:
                codes[error.code()] += 1
                assert error.code() in REFUSALS and "\n" not in error.details(), (request, error.details())
    return codes


def test_tensors_of_odd_types_shapes_and_contents(server):
    assert ask_odd_tensors(server, 0, 250).keys() >= {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}


@pytest.fixture(scope="module")
def odd_server():
    """odd_server.answers: a function of the path -> the raw answer, whatever is asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(self.server.answers(self.path))

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


METADATA = {
    "model_spec": {"name": "m", "signature_name": "", "version": "1"},
    "metadata": {
        "signature_def": {
            "signature_def": {
                "serving_default": {
                    "inputs": {"text": {"dtype": "DT_STRING", "tensor_shape": {"dim": [{"size": "-1", "name": ""}]}}},
                    "outputs": {"a_bytes": {"dtype": "DT_STRING", "tensor_shape": {"unknown_rank": True, "dim": []}}},
                }
            }
        }
    },
}
STATUS = {
    "model_version_status": [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
}


def read_odd_answers(odd_server, seed, count):
    generator, outcomes = random.Random(seed), Counter()
    address = f"127.0.0.1:{odd_server.server_port}"
    for _ in range(count):
        asked = generator.choice(["metadata", "predict", "status"])
        answers = {"metadata": METADATA, "predict": {"outputs": [{"b64": "YWJj"}]}, "status": STATUS}
        raw = generator.random() < 0.3
        if not raw:
            answers[asked] = changed(answers[asked], generator)

        def answer(path, asked=asked, answers=answers, raw=raw):
            kind = path.rpartition(":" if path.endswith(":predict") else "/")[2]
            kind = kind if kind in answers else "status"
            body = json.dumps(answers[kind]).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
            return mutated(head + body, generator) if raw and kind == asked else head + body

        odd_server.answers = answer
        client = Client(address, timeout=5)
        try:
            if asked == "status":
                client.status("m")
            else:
                client.predict("m", {"text": ["a"]})
            outcomes["answer"] += 1
        except UserError as error:
            outcomes["refusal"] += 1
            assert "\n" not in str(error) and len(str(error)) < 3000
    return outcomes


def test_answers_of_another_server(odd_server):
    assert read_odd_answers(odd_server, 0, 150).keys() == {"answer", "refusal"}


def try_odd_addresses(seed, count):
    generator = random.Random(seed)
    for _ in range(count):
        address = mutated(b"http://127.0.0.1:1/path", generator).decode("utf-8", "surrogateescape")
        if "127.0.0.1" in address:  # nobody else is to be looked for
            with pytest.raises(UserError):
                Client(address, timeout=2).status("m")


def test_addresses():
    try_odd_addresses(0, 60)


def read_odd_galleries(path, seed, count):
    generator, outcomes = random.Random(seed), Counter()
    gallery = Gallery(path)
    for name, vector in (("Ann", [1, 0, 0]), ("Jörg", [0, 0, 4])):
        gallery.add(name, vector, (0.5, 0.01, 0.02))
    gallery.save()
    content = path.read_bytes()
    for _ in range(count):
        path.write_bytes(mutated(content, generator))
        try:
            again = Gallery(path)
            assert len(again.names) == len(again.embeddings) and np.isfinite(again.embeddings).all()
            again.add("Zoë", [0, 1, 0], (0.5, 0.01, 0.02))
            again.save()
            outcomes["read"] += 1
        except UserError as error:
            outcomes["refused"] += 1
            assert "\n" not in str(error)
    return outcomes


def test_a_gallery_in_which_chance_wrote(tmp_path):
    assert read_odd_galleries(tmp_path / "a.npz", 0, 150).keys() == {"read", "refused"}
