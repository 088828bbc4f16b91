"""The client, over both protocols, against a real server."""

import contextlib
import socket
import subprocess
import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.errors import RequestRefused, UserError
from keras_apps.serving.client import Client


@pytest.fixture(params=["rest", "grpc"])
def client(request, server):
    port = server.rest_port if request.param == "rest" else server.grpc_port
    return Client(f"127.0.0.1:{port}", request.param, timeout=30)


@pytest.fixture(scope="session")
def png():
    return tf.io.encode_png(np.full([4, 3, 3], 200, np.uint8)).numpy()


def test_importing_the_client_and_asking_over_rest_imports_no_tensorflow(server, python):
    code = f"""
import sys
import keras_apps.serving.client
answer = keras_apps.serving.client.Client("127.0.0.1:{server.rest_port}").predict("echo", {{"text": ["a"]}})
assert answer == {{"text": ["a!"]}}, answer
loaded = [name for name in sys.modules if name.partition(".")[0] in ("tensorflow", "keras", "tensorflow_serving")]
assert not loaded, loaded
"""
    subprocess.run([python, "-c", code], check=True, timeout=60)


def test_text(client):
    assert client.predict("echo", {"text": ["caffè", "", "日本"]}) == {"text": ["caffè!", "!", "日本!"]}


def test_mixed_outputs_in_column_form(client):
    answer = client.predict("numbers", {"x": [[1, 2], [0.1, -4]], "n": [2, 0]})
    assert answer == {
        "scaled": [[2.0, 4.0], [0.0, 0.0]],
        "next": [3, 1],
        "positive": [True, False],
        "name": ["é2", "é0"],
    }
    assert all(type(value) is float for value in answer["scaled"][0])
    assert all(type(value) is int for value in answer["next"])


def test_numpy_inputs(client):
    x, n = np.array([[0.1, 0.7]], np.float64), np.array([3], np.int64)
    answer = client.predict("numbers", {"x": x, "n": n})
    assert answer["next"] == [4]
    assert np.array_equal(np.float32(answer["scaled"]), x.astype(np.float32) * np.float32(3))


def test_picture_bytes(client, png):
    answer = client.predict("picture", {"image_bytes": [png, png]})
    assert answer["height"] == [4, 4]
    assert (tf.io.decode_png(answer["image_bytes"][1]).numpy() == 55).all()


def test_single_output_has_its_name_and_nan_survives(client):
    answer = client.predict("numbers", {"x": [1, 0, -1]}, signature="log")
    assert answer["y"][:2] == [0.0, float("-inf")]
    assert np.isnan(answer["y"][2])


def test_other_types(client):
    answer = client.predict("numbers", {"x": [0.5, -1]}, signature="other_types")
    assert answer["half"] == answer["brain"] == [0.5, -1.0]
    assert answer["double"] == [0.5 / 3, -1 / 3]


def test_empty_batch(client):
    assert client.predict("echo", {"text": []}) == {"text": []}


def test_version(client):
    assert client.predict("numbers", {"x": [1.0]}, signature="log", version=3) == {"y": [0.0]}
    with pytest.raises(UserError, match="version 9"):
        client.predict("numbers", {"x": [1.0]}, signature="log", version=9)


def test_status_and_metadata(client):
    assert client.status("numbers") == [{"version": 3, "state": "AVAILABLE", "error_code": "OK", "error_message": ""}]
    signature = client.metadata("numbers")["serving_default"]
    assert signature["inputs"] == {
        "x": {"dtype": "DT_FLOAT", "shape": [-1, 2]},
        "n": {"dtype": "DT_INT32", "shape": [-1]},
    }
    assert set(signature["outputs"]) == {"scaled", "next", "positive", "name"}


@pytest.mark.parametrize(
    ("model", "inputs", "signature", "message"),
    [
        ("absent", {"text": ["a"]}, "serving_default", "no model 'absent'"),
        ("echo", {"text": ["a"]}, "absent", "no signature 'absent'"),
        ("echo", {"txt": ["a"]}, "serving_default", "no input .txt.; it takes: text"),
        ("echo", {"text": [1]}, "serving_default", "text"),
        ("echo", {"text": [object()]}, "serving_default", "object"),
        ("numbers", {"x": [[1, 2]]}, "serving_default", "missing input: n"),
        ("numbers", {"x": [[1, 2]], "n": [1.5]}, "serving_default", "'n'"),
        ("numbers", {"x": [[1, 2]], "n": [2**40]}, "serving_default", "'n'"),
        ("numbers", {"x": [[1, 2]], "n": [True]}, "serving_default", "'n'"),
        ("numbers", {"x": [[1, 2, 3]], "n": [1]}, "serving_default", r"\[-1, 2\]"),
        ("numbers", {"x": [[1, 2], [3]], "n": [1]}, "serving_default", "'x'"),
        ("picture", {"image_bytes": [b"no picture"]}, "serving_default", "Unknown image file format"),
    ],
)
def test_refusals_are_one_line_user_errors(client, model, inputs, signature, message):
    with pytest.raises(UserError, match=message) as caught:
        client.predict(model, inputs, signature)
    assert "\n" not in str(caught.value)


def test_message_of_an_assertion_in_the_graph(client):
    black = tf.io.encode_png(np.zeros([2, 2, 3], np.uint8)).numpy()
    with pytest.raises(UserError, match=r"INVALID_ARGUMENT|HTTP 400") as caught:
        client.predict("picture", {"image_bytes": [black]})
    assert str(caught.value).endswith(": the picture is black")


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_nobody_there(protocol):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UserError, match="no model server at 127.0.0.1"):
            Client(address, protocol, timeout=5).predict("echo", {"text": ["a"]})


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_no_proxy_is_asked(server, monkeypatch, protocol):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    port = server.rest_port if protocol == "rest" else server.grpc_port
    assert Client(f"127.0.0.1:{port}", protocol, timeout=10).predict("echo", {"text": ["a"]}) == {"text": ["a!"]}


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_timeout(protocol):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"127.0.0.1:{silent.getsockname()[1]}", protocol, timeout=0.3)
        with pytest.raises(UserError, match="did not answer within 0.3 seconds|no model server"):
            client.status("echo")


def test_the_timeout_is_of_the_whole_answer():
    with socket.create_server(("127.0.0.1", 0)) as slow:

        def drip():
            connection, _ = slow.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
                for _ in range(40):
                    connection.sendall(b" ")
                    time.sleep(0.05)

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(UserError, match="did not answer within 0.3 seconds"):
            Client(f"127.0.0.1:{slow.getsockname()[1]}", timeout=0.3).status("echo")
        thread.join()


@pytest.mark.parametrize("headers", [b"Content-Length: 28\r\n", b"", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_in_pieces(headers):
    pieces = [b'{"model_version', b'_status": []}']
    if b"chunked" in headers:
        pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""]]
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer():
            connection, _ = other.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n")
                for piece in pieces:
                    time.sleep(0.02)
                    connection.sendall(piece)

        thread = threading.Thread(target=answer)
        thread.start()
        assert Client(f"127.0.0.1:{other.getsockname()[1]}", timeout=10).status("echo") == []
        thread.join()


def test_other_servers(server):
    with pytest.raises(UserError, match="is it the gRPC port"):
        Client(f"127.0.0.1:{server.grpc_port}").status("echo")
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer():
            connection, _ = other.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n<html>hello</html>")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UserError, match="is it another server"):
            Client(f"127.0.0.1:{other.getsockname()[1]}", timeout=5).status("echo")
        thread.join()


class Refusing(grpc.GenericRpcHandler):
    """Answers whatever is asked with one status."""

    def __init__(self, code, details):
        self.code, self.details = code, details

    def service(self, handler_call_details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: context.abort(self.code, self.details))


@pytest.mark.parametrize(
    ("code", "details", "kind", "said"),
    [
        ("UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full", UserError, "refused"),
        ("UNAVAILABLE", "Cancelling all calls", UserError, "no model server"),
        ("FAILED_PRECONDITION", "Tensors from different tasks have different shapes", RequestRefused, "refused"),
        ("INTERNAL", "it broke", UserError, "refused"),
    ],
)
def test_what_tensorflow_serving_says_over_grpc(code, details, kind, said):
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([Refusing(grpc.StatusCode[code], details)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(UserError, match=f"{said}.*{details}") as refused:
            Client(f"127.0.0.1:{port}", "grpc").status("echo")
    finally:
        server.stop(0)
    assert type(refused.value) is kind


@pytest.mark.parametrize("address", ["", "localhost:port", "ftp://localhost:8501", "http://"])
def test_malformed_addresses(address):
    with pytest.raises(UserError, match="malformed server address"):
        Client(address)


def test_unknown_protocol():
    with pytest.raises(UserError, match="choose rest or grpc"):
        Client("localhost", "soap")
