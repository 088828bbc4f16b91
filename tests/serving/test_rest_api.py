"""The REST API, asked with the standard library, against the loaded models and TensorFlow Serving's documented JSON."""

import base64
import http.client
import json
import socket

import numpy as np
import pytest
import tensorflow as tf

from keras_apps.serving.predict import readable


def post(ask, server, path, document):
    status, answer = ask(server, f"/v1/models/{path}", json.dumps(document).encode())
    return status, json.loads(answer)


def test_status_is_printed_as_tensorflow_serving_does(server, ask):
    expected = {
        "model_version_status": [
            {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    for path in ("/v1/models/numbers", "/v1/models/numbers/versions/3"):
        status, answer = ask(server, path)
        assert (status, json.loads(answer)) == (200, expected)


def test_metadata_is_printed_as_tensorflow_serving_does(server, ask):
    status, answer = ask(server, "/v1/models/numbers/versions/3/metadata")
    document = json.loads(answer)
    assert status == 200
    assert document["model_spec"] == {"name": "numbers", "signature_name": "", "version": "3"}
    signature = document["metadata"]["signature_def"]["signature_def"]["log"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["inputs"]["x"]["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signature["method_name"] == "tensorflow/serving/predict"


@pytest.mark.parametrize(
    ("path", "request_", "answer"),
    [
        # one input, one output: plain values
        ("echo:predict", {"instances": ["a", "b"]}, {"predictions": ["a!", "b!"]}),
        ("echo:predict", {"instances": [{"text": "a"}]}, {"predictions": ["a!"]}),
        ("echo:predict", {"instances": [{"b64": "YQ=="}, "b"]}, {"predictions": ["a!", "b!"]}),
        ("echo:predict", {"instances": [{"text": {"b64": "YQ"}}]}, {"predictions": ["a!"]}),
        ("echo:predict", {"inputs": ["a", "b"]}, {"outputs": ["a!", "b!"]}),
        ("echo:predict", {"inputs": {"text": ["é\u0000"]}}, {"outputs": ["é\u0000!"]}),
        ("echo:predict", {"inputs": {"text": [{"b64": "/w=="}]}}, {"outputs": ["\ufffd!"]}),
        ("echo:predict", {"inputs": []}, {"outputs": []}),
        ("echo/versions/1:predict", {"signature_name": "serving_default", "inputs": ["a"]}, {"outputs": ["a!"]}),
        # several inputs and outputs: objects
        (
            "numbers:predict",
            {"instances": [{"x": [1, 2.5], "n": 2}, {"x": [0.1, -1e-7], "n": 1}]},
            {
                "predictions": [
                    {"name": "é2", "next": 3, "positive": True, "scaled": [2.0, 5.0]},
                    {"name": "é1", "next": 2, "positive": True, "scaled": [0.1, -1e-7]},
                ]
            },
        ),
        (
            "numbers:predict",
            {"inputs": {"x": [[1, 2]], "n": [0]}},
            {"outputs": {"name": ["é0"], "next": [1], "positive": [False], "scaled": [[0.0, 0.0]]}},
        ),
        (
            "numbers:predict",
            {"signature_name": "other_types", "inputs": [0.2, -1]},
            {
                "outputs": {
                    "half": [0.19995117, -1.0],
                    "brain": [0.20019531, -1.0],
                    "double": [float(np.float32(0.2)) / 3, -1 / 3],
                }
            },
        ),
        ("numbers:predict", {"signature_name": "total", "inputs": {"x": [1, 2]}}, {"outputs": 3.0}),
    ],
)
def test_predict(server, ask, path, request_, answer):
    assert post(ask, server, path, request_) == (200, answer)


def test_answers_equal_the_loaded_models(server, ask, exported):
    x = np.random.default_rng(0).normal(size=[50]).astype(np.float32) ** 2
    expected = tf.saved_model.load(str(exported / "numbers" / "3")).signatures["log"](x=tf.constant(x))["y"].numpy()
    status, answer = post(ask, server, "numbers:predict", {"signature_name": "log", "instances": x.tolist()})
    assert status == 200
    assert np.array_equal(np.float32(answer["predictions"]), expected)


def test_binary_outputs_come_as_base64(server, ask):
    png = tf.io.encode_png(np.full([2, 3, 3], 250, np.uint8)).numpy()
    instances = [{"b64": base64.b64encode(png).decode()}]
    status, answer = post(ask, server, "picture:predict", {"instances": instances})
    assert status == 200
    (prediction,) = answer["predictions"]
    assert prediction["height"] == 2
    assert (tf.io.decode_png(base64.b64decode(prediction["image_bytes"]["b64"])).numpy() == 5).all()


def test_not_a_number_is_a_bare_token_and_logged(server, ask, caplog):
    body = b'{"signature_name": "log", "instances": [-1, 0, Infinity, NaN]}'
    assert ask(server, "/v1/models/numbers:predict", body) == (200, b'{"predictions": [NaN, -Infinity, Infinity, NaN]}')
    assert "output 'y' holds NaN" in caplog.text


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("echo:predict", b"", 400, "JSON parse error"),
        ("echo:predict", b"{", 400, "JSON parse error"),
        ("echo:predict", b'{"inputs": ["\xff"]}', 400, "JSON parse error"),
        ("echo:predict", b"[1]", 400, "expected an object"),
        ("echo:predict", b"[" * 100_000, 400, "nested too deeply"),
        ("echo:predict", b'{"inputs": ' + b"[" * 500 + b"]" * 500 + b"}", 400, "32 lists deep"),
        ("numbers:predict", b'{"signature_name": "log", "inputs": [' + b"9" * 5000 + b"]}", 400, "JSON parse error"),
        ("numbers:predict", b'{"signature_name": "log", "inputs": [' + b"9" * 500 + b"]}", 400, "float32"),
        ("numbers:predict", b'{"signature_name": "log", "inputs": [16777217]}', 400, "float32"),
        ("numbers:predict", b'{"signature_name": "log", "inputs": [true]}', 400, "'x': true is not a number"),
        ("numbers:predict", b'{"signature_name": "log", "inputs": ["1"]}', 400, "'x': \"1\" is not a number"),
        ("numbers:predict", b'{"signature_name": "log", "inputs": 1}', 400, "shape [-1]"),
        ("numbers:predict", b'{"signature_name": "log", "inputs": [[1], [2, 3]]}', 400, "ragged"),
        ("numbers:predict", b'{"signature_name": "log", "inputs": [1, [2]]}', 400, "ragged"),
        ("numbers:predict", b'{"signature_name": "log", "instances": [1, {"x": 2}]}', 400, "element 0"),
        ("numbers:predict", b'{"inputs": {"x": [[1, 2]], "n": [1.0]}}', 400, "'n': 1.0 is not a whole number"),
        ("numbers:predict", b'{"inputs": {"x": [[1, 2]], "n": [2147483648]}}', 400, "range of int32"),
        ("numbers:predict", b'{"inputs": {"x": [[1, 2, 3]], "n": [1]}}', 400, "shape [-1, 2]"),
        ("numbers:predict", b'{"inputs": {"x": [[1, 2]]}}', 400, "missing input: n"),
        ("numbers:predict", b'{"inputs": {"x": [[1, 2]], "n": [1], "m": [1]}}', 400, "unknown input: m"),
        ("numbers:predict", b'{"inputs": [[1, 2]]}', 400, "name the inputs: n, x"),
        ("numbers:predict", b'{"instances": [[1, 2]]}', 400, "name the inputs: n, x"),
        ("numbers:predict", b'{"instances": [{"x": [1, 2]}]}', 400, "element 0"),
        ("numbers:predict", b'{"inputs": {"x": [[1, 2], [3, 4]], "n": [1, 2, 3]}}', 400, "shapes"),
        ("numbers:predict", b'{"signature_name": "total", "instances": [1]}', 400, "no common batch size"),
        ("numbers:predict", b'{"signature_name": "half", "inputs": [1]}', 501, "no form for float16"),
        (
            "numbers:predict",
            b'{"signature_name": "complex", "inputs": [1]}',
            501,
            "no form for output 'z' of complex64",
        ),
        ("echo:predict", b'{"instances": []}', 400, "at least one element"),
        ("echo:predict", b'{"instances": "a"}', 400, "must be a list"),
        ("echo:predict", b'{"instances": ["a"], "inputs": ["a"]}', 400, "not both"),
        ("echo:predict", b"{}", 400, "either 'instances'"),
        ("echo:predict", b'{"signature_name": 1, "inputs": ["a"]}', 400, "must be a string"),
        ("echo:predict", b'{"signature_name": "absent", "inputs": ["a"]}', 400, "no signature 'absent'"),
        ("echo:predict", b'{"signature_name": "__saved_model_init_op", "inputs": ["a"]}', 400, "no signature"),
        ("echo:predict", b'{"inputs": [null]}', 400, "'text': null is not a string"),
        ("echo:predict", b'{"inputs": ["\\ud800"]}', 400, "valid Unicode"),
        ("echo:predict", b'{"inputs": [{"b64": "a*"}]}', 400, "valid base64"),
        ("echo:predict", b'{"inputs": [{"b64": "YWJjZ"}]}', 400, "valid base64"),
        ("echo:predict", b'{"inputs": [{"b64": 1}]}', 400, "is not a string"),
        ("picture:predict", b'{"instances": ["no picture"]}', 400, "Unknown image file format"),
        ("absent:predict", b'{"instances": ["a"]}', 404, "no model 'absent'"),
        ("echo/versions/2:predict", b'{"instances": ["a"]}', 404, "version 2 of model 'echo' is not loaded"),
        ("echo/labels/stable:predict", b'{"instances": ["a"]}', 501, "labels"),
        ("echo:classify", b'{"examples": [{}]}', 501, "classify is not supported"),
        ("echo:regress", b'{"examples": [{}]}', 501, "regress is not supported"),
        ("echo:explain", b"{}", 404, "unknown path"),
        ("echo/versions/one:predict", b"{}", 404, "unknown path"),
        ("echo", b"{}", 405, "takes GET"),
    ],
)
def test_bad_posts(server, ask, path, body, status, message):
    actual, answer = ask(server, f"/v1/models/{path}", body)
    (error,) = json.loads(answer).items()
    assert actual == status, error
    assert error[0] == "error"
    assert message in error[1]
    assert "\n" not in error[1]
    assert "Traceback" not in error[1]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/echo:predict", 405),
        ("PUT", "/v1/models/echo:predict", 405),
        ("DELETE", "/v1/models/echo", 405),
        ("GET", "/v1/models/absent", 404),
        ("GET", "/v1/models/echo/versions/2", 404),
        ("GET", "/v1/models/echo/versions/9223372036854775808", 404),
        ("GET", "/v1/models/absent/metadata", 404),
        ("GET", "/v1/models/echo/labels/stable", 501),
        ("GET", "/v1/models", 404),
        ("GET", "/", 404),
        ("GET", "/v1/models/%ff%0a", 404),
    ],
)
def test_bad_methods_and_paths(server, ask, method, path, status):
    actual, answer = ask(server, path, method=method)
    assert actual == status
    assert list(json.loads(answer)) == ["error"]


def test_405_names_the_method_allowed(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=10)
    connection.request("GET", "/v1/models/echo:predict")
    assert connection.getresponse().getheader("Allow") == "POST"
    connection.close()


def test_body_over_the_limit_by_content_length(server, ask):
    status, answer = ask(server, "/v1/models/echo:predict", b'{"inputs": ["' + b"a" * 20_000_000 + b'"]}')
    assert status == 413
    assert json.loads(answer) == {"error": "the request is larger than 200000 bytes"}


def test_body_over_the_limit_is_refused_before_it_ends(server):
    """Chunked, so that no Content-Length warns; the body's end is never sent."""
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as connection:
        connection.sendall(b"POST /v1/models/echo:predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall((b"%x\r\n" % 50_000 + b"a" * 50_000 + b"\r\n") * 5)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_asks_first_need_not_send_its_body(server):
    head = b"POST /v1/models/echo:predict HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=1) as connection:
        connection.sendall(head % 300_000)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as connection:
        connection.sendall(head % 17)
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b'{"inputs": ["a"]}')
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_chunked_body(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=10)
    connection.request("POST", "/v1/models/echo:predict", iter([b'{"inputs"', b': ["a"]}']), encode_chunked=True)
    assert json.loads(connection.getresponse().read()) == {"outputs": ["a!"]}
    connection.close()


def test_the_connection_survives_a_refusal(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=10)
    for body in (b"{", b"a" * 300_000, b'{"inputs": ["a"]}'):
        connection.request("POST", "/v1/models/echo:predict", body)
        answer = connection.getresponse().read()
    assert json.loads(answer) == {"outputs": ["a!"]}
    connection.close()


def test_clients_that_leave_do_no_harm(server, ask):
    head = b"POST /v1/models/echo:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
    for sent in (b"", b"\x16\x03\x01 no HTTP\r\n\r\n", head, head + b"{"):
        with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as connection:
            connection.sendall(sent)
    assert ask(server, "/v1/models/echo:predict", b'{"inputs": ["a"]}') == (200, b'{"outputs": ["a!"]}')


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (
            "Graph execution error:\n\nDetected at node A defined at (most recent call last):\n"
            "<stack traces unavailable>\nDetected at node B defined at (most recent call last):\n"
            "<stack traces unavailable>\n2 root error(s) found.\n  (0) INVALID_ARGUMENT:  assertion failed: "
            "[too old: at most] [99]\n\t [[{{node A}}]]\n\t [[B/_3]]\n  (1) INVALID_ARGUMENT:  assertion failed: ...",
            "too old: at most 99",
        ),
        (
            "assertion failed: [] [Condition x > 0 did not hold] [1]",
            "assertion failed: [] [Condition x > 0 did not hold] [1]",
        ),
        ("", "the model failed without a message"),
    ],
)
def test_messages_of_graphs_are_made_readable(raw, line):
    assert readable(raw) == line
