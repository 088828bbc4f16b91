"""Small SavedModels, and servers of them."""

import shutil
import sys
import time
import urllib.error
import urllib.request

import grpc
import pytest
import tensorflow as tf

from keras_apps.serving.embedded import EmbeddedServer

MAX_REQUEST_BYTES = 200_000


class Echo(tf.Module):
    """Text in, text out; the suffix tells versions apart."""

    def __init__(self, suffix):
        super().__init__()
        self.suffix = tf.Variable(suffix)  # a variable, so that loading needs the variables' files

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(self, text):
        return {"text": tf.strings.join([text, self.suffix])}


class Numbers(tf.Module):
    """Two inputs, four outputs of different types; further signatures for single outputs and odd numbers."""

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x"), tf.TensorSpec([None], tf.int32, "n")])
    def serve(self, x, n):
        names = tf.strings.join(["é", tf.strings.as_string(n)])
        return {"scaled": x * tf.cast(n, tf.float32)[:, None], "next": n + 1, "positive": n > 0, "name": names}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def log(self, x):
        return {"y": tf.math.log(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def total(self, x):
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float16, name="x")])
    def half(self, x):
        return {"half": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def other_types(self, x):
        return {"half": tf.cast(x, tf.float16), "brain": tf.cast(x, tf.bfloat16), "double": tf.cast(x, tf.float64) / 3}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def complex(self, x):
        return {"z": tf.complex(x, x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="steps")])
    def slow(self, steps):
        """Takes some 20 to 100 ms per step on one core."""
        matrix = tf.ones([600, 600])
        for _ in tf.range(tf.reduce_max(steps) * 12):
            matrix = tf.linalg.matmul(matrix, matrix) / 600.0
        return {"done": steps + tf.cast(matrix[0, 0] * 0.0, tf.int32)}


class Picture(tf.Module):
    """Picture bytes in, picture bytes and sizes out; refuses what is no picture or too dark."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serve(self, image_bytes):
        def one(data):
            image = tf.io.decode_image(data, channels=3, expand_animations=False)
            tf.debugging.assert_greater(tf.reduce_max(image), tf.constant(10, tf.uint8), message="the picture is black")
            return tf.io.encode_png(255 - image), tf.shape(image)[0]

        inverted, height = tf.map_fn(one, image_bytes, fn_output_signature=(tf.string, tf.int32))
        return {"image_bytes": inverted, "height": height}


@pytest.fixture(scope="session")
def save_echo():
    """save_echo(folder, version, suffix): writes a version beside and renames it into place, as the exporter does."""

    def save(folder, version, suffix="!"):
        model = Echo(suffix)
        temporary = folder / f".incomplete-{version}"
        tf.saved_model.save(model, str(temporary), signatures={"serving_default": model.serve})
        temporary.rename(folder / str(version))

    return save


@pytest.fixture(scope="session")
def exported(tmp_path_factory, save_echo):
    """saved_models/ with three models; read only."""
    folder = tmp_path_factory.mktemp("exported")
    for name in ("echo", "numbers", "picture"):
        (folder / name).mkdir()
    save_echo(folder / "echo", 1)
    numbers = Numbers()
    signatures = {name: getattr(numbers, name) for name in ("log", "total", "half", "other_types", "complex", "slow")}
    signatures["serving_default"] = numbers.serve
    tf.saved_model.save(numbers, str(folder / "numbers" / "3"), signatures=signatures)
    picture = Picture()
    tf.saved_model.save(picture, str(folder / "picture" / "7"), signatures={"serving_default": picture.serve})
    return folder


@pytest.fixture
def saved_models(exported, tmp_path):
    """A copy of its own of saved_models/ with the echo model, version 1."""
    shutil.copytree(exported / "echo", tmp_path / "saved_models" / "echo")
    return tmp_path / "saved_models"


@pytest.fixture(scope="session")
def server(exported):
    """One server of all three models for all tests that only ask."""
    with EmbeddedServer(exported, rest_port=0, grpc_port=0, max_request_bytes=MAX_REQUEST_BYTES) as running:
        yield running


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as opened:
        yield opened


@pytest.fixture(scope="session")
def ask():
    """ask(server, path, body=None, method=None) -> (status, answer's bytes), over urllib."""

    def call(server, path, body=None, method=None):
        request = urllib.request.Request(f"http://127.0.0.1:{server.rest_port}{path}", body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    return call


@pytest.fixture(scope="session")
def eventually():
    """eventually(condition): waits until it holds, and fails if it doesn't."""

    def wait(condition, seconds=15):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def python():
    return sys.executable
