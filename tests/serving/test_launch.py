"""The choice and the life of a server process."""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path, PurePosixPath

import psutil
import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from keras_apps.errors import UserError
from keras_apps.serving import launch

# Stands where TensorFlow Serving would: records its arguments, answers the status, starts a child, ends on SIGTERM.
FAKE_SERVER = f"""#!{sys.executable}
import http.server, json, os, signal, subprocess, sys
flags = dict(flag.removeprefix("--").split("=", 1) for flag in sys.argv[1:])
child = subprocess.Popen(["sleep", "600"])
record = {{"argv": sys.argv[1:], "config": open(flags["model_config_file"]).read(), "child": child.pid}}
with open(os.environ["RECORD"], "w") as file:
    json.dump(record, file)
if "FAIL" in os.environ:
    sys.exit(3)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{{"model_version_status": []}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(flags["rest_api_port"])), Handler).serve_forever()
"""


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def start(saved_models, engine, environment=None, **arguments):
    code = f"""
        import sys
        from keras_apps.errors import UserError
        from keras_apps.serving.launch import choose_engine, serve
        try:
            serve({str(saved_models)!r}, choose_engine({engine!r}), **{arguments!r})
        except UserError as error:
            sys.exit(f"error: {{error}}")
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


@pytest.fixture
def fake_server(tmp_path):
    """The environment in which the fake is found, and where it records."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "tensorflow_model_server"
    script.write_text(FAKE_SERVER)
    script.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "RECORD": str(tmp_path / "record.json")}


def test_flags_are_those_of_tensorflow_model_server():
    flags = launch.server_flags("/tmp/models.config", 8501, 8500, xla=False)
    assert flags == [
        "--port=8500",
        "--rest_api_port=8501",
        "--rest_api_timeout_in_ms=600000",
        "--model_config_file=/tmp/models.config",
        "--enable_batching=true",
        "--enable_per_model_batching_parameters=true",
    ]
    with_xla = launch.server_flags("/tmp/models.config", 8501, 8500, xla=True)
    assert with_xla == [*flags, "--xla_cpu_compilation_enabled=true"]


def test_docker_command():
    command = launch.docker_command(Path("/srv/saved_models"), Path("/tmp/c"), 9001, 9000, xla=True)
    assert " ".join(command) == (
        "docker run --rm --init -p 9001:8501 -p 9000:8500 -v /srv/saved_models:/models:ro -v /tmp/c:/config:ro "
        "--entrypoint tensorflow_model_server tensorflow/serving:latest --port=8500 --rest_api_port=8501 "
        "--rest_api_timeout_in_ms=600000 --model_config_file=/config/models.config --enable_batching=true "
        "--enable_per_model_batching_parameters=true --xla_cpu_compilation_enabled=true"
    )


def test_models_config_is_what_tensorflow_serving_reads():
    paths = {"sentiment": PurePosixPath("/models/sentiment"), "odd": Path('/a "b"\\ü/odd')}
    config = text_format.Parse(launch.models_config(paths), model_server_config_pb2.ModelServerConfig())
    read = {entry.name: (entry.base_path, entry.model_platform) for entry in config.model_config_list.config}
    assert read == {name: (str(path), "tensorflow") for name, path in paths.items()}


@pytest.mark.parametrize(
    ("engine", "message"), [("podman", "unknown engine"), ("tensorflow_model_server", "not on the PATH")]
)
def test_engines_that_are_not_there(monkeypatch, tmp_path, engine, message):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=message):
        launch.choose_engine(engine)


@pytest.mark.parametrize(
    ("status", "machine", "chosen"),
    [(0, "x86_64", "docker"), (0, "AMD64", "docker"), (1, "x86_64", "embedded"), (0, "arm64", "embedded")],
)
def test_docker_counts_only_when_its_engine_answers_and_runs_the_image(monkeypatch, tmp_path, status, machine, chosen):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\nexit {status}\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert launch.choose_engine("auto") == chosen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_tensorflow_model_server_is_preferred_announced_and_ended(exported, fake_server, number):
    rest_port, grpc_port = free_port(), free_port()
    process = start(exported, "auto", fake_server, rest_port=rest_port, grpc_port=grpc_port, model="echo", xla=True)
    line = process.stdout.readline()
    record = json.loads(Path(fake_server["RECORD"]).read_text())
    assert line.startswith("tensorflow_model_server serves echo:")
    assert f"http://localhost:{rest_port}" in line
    assert f"localhost:{grpc_port}" in line
    assert "curl http" in line
    config_flag = next(flag for flag in record["argv"] if flag.startswith("--model_config_file="))
    config_file = Path(config_flag.partition("=")[2])
    assert record["argv"] == launch.server_flags(config_file, rest_port, grpc_port, xla=True)
    assert record["config"] == launch.models_config({"echo": exported.resolve() / "echo"})
    assert is_alive(record["child"])
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "", "")
    assert not is_alive(record["child"])
    assert not config_file.exists()


def test_a_server_that_ends_by_itself_is_an_error(exported, fake_server):
    process = start(exported, "auto", {**fake_server, "FAIL": "1"}, rest_port=free_port(), grpc_port=free_port())
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors == "error: tensorflow_model_server ended by itself with status 3; its messages above say why\n"
    assert not is_alive(json.loads(Path(fake_server["RECORD"]).read_text())["child"])


def test_port_in_use_is_found_before_tensorflow_model_server_starts(exported, fake_server):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(exported, "auto", fake_server, rest_port=port, grpc_port=free_port())
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"REST port {port}" in errors
    assert not Path(fake_server["RECORD"]).exists()


def test_embedded_engine_serves_and_ends_with_status_0(exported):
    rest_port = free_port()
    process = start(exported, "embedded", rest_port=rest_port, grpc_port=free_port(), model="echo")
    line = process.stdout.readline()
    assert line.startswith("the embedded server serves echo:")
    with urllib.request.urlopen(line.split("curl ")[1].strip(), timeout=5) as response:
        assert response.status == 200
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert (process.returncode, output) == (0, "")


@pytest.mark.parametrize(
    ("folder", "model", "message"), [("absent", None, "no such folder"), ("", "ech", "no model ech")]
)
def test_nothing_to_serve(exported, folder, model, message):
    with pytest.raises(UserError, match=message):
        launch.serve(exported / folder, "embedded", model=model)
