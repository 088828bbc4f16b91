"""Starts a model server on this machine: TensorFlow Serving where there is one, else the embedded server."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from keras_apps.errors import UserError
from keras_apps.files import export_description
from keras_apps.quiet import import_tensorflow
from keras_apps.serving.catalog import models_on_disk
from keras_apps.serving.client import Client

Engine = Literal["tensorflow_model_server", "docker", "embedded"]

DOCKER_IMAGE = "tensorflow/serving:latest"
MODELS_IN_CONTAINER = PurePosixPath("/models")
_CONFIG_NAME = "models.config"
_CONFIG_IN_CONTAINER = PurePosixPath("/config")
REST_PORT, GRPC_PORT = 8501, 8500
"""Inside the container."""

_REST_SECONDS = 600
"""How long TensorFlow Serving works on a request by REST, in place of its 30 seconds.

A search of style transfer takes longer on a CPU, and who asks has a limit of their own.
"""

_GRACE_SECONDS = 15.0
_DOCKER_SECONDS = 5.0


def serve(
    saved_models: str | os.PathLike,
    engine: Engine,
    rest_port: int = 8501,
    grpc_port: int = 8500,
    model: str | None = None,
    xla: bool = False,
) -> None:
    """Serves the models of a folder until SIGTERM or SIGINT; to be called from the main thread.

    Args:
        saved_models: the folder, laid out `<model>/<version>/saved_model.pb`.
        engine: which server, as `choose_engine` answers.
        rest_port: the port for REST.
        grpc_port: the port for gRPC.
        model: the one model to serve; None for all.
        xla: whether TensorFlow Serving may compile the `_xla` signatures, as it may where an export was made for that
            (`server_xla`); the embedded server always may.

    Raises:
        UserError: if there is no such model, a port is taken, or the server ends by itself.
    """
    folder = Path(saved_models).resolve()
    versions = models_on_disk(folder, None if model is None else [model])
    names = list(versions)
    xla = xla or warmed_up_for_xla(versions)
    with _stop_signals() as stop:
        if engine == "embedded":
            _serve_embedded(folder, names if model else None, rest_port, grpc_port, stop)
            return
        _check_ports(rest_port, grpc_port)
        with tempfile.TemporaryDirectory(prefix="keras_apps-serving-") as temporary:
            config = Path(temporary) / _CONFIG_NAME
            if engine == "docker":
                config.write_text(models_config({name: MODELS_IN_CONTAINER / name for name in names}), encoding="utf-8")
                command = docker_command(folder, config.parent, rest_port, grpc_port, xla)
            else:
                config.write_text(models_config({name: folder / name for name in names}), encoding="utf-8")
                command = ["tensorflow_model_server", *server_flags(config, rest_port, grpc_port, xla)]
            probe = Client(f"127.0.0.1:{rest_port}", timeout=1)
            _run(command, lambda: probe.status(names[0]), lambda: _announce(engine, names, rest_port, grpc_port), stop)


def choose_engine(engine: str = "auto") -> Engine:
    """The server that will run.

    Args:
        engine: its name; "auto" takes `tensorflow_model_server` where it is installed, else docker where its engine
            runs, else the embedded server.

    Raises:
        UserError: if the one asked for is unknown or isn't there.
    """
    available: dict[str, Callable[[], bool]] = {
        "tensorflow_model_server": lambda: shutil.which("tensorflow_model_server") is not None,
        "docker": _docker_answers,
        "embedded": lambda: True,
    }
    if engine == "auto":
        return next(name for name, is_there in available.items() if is_there())
    if engine not in available:
        raise UserError(f"unknown engine {engine!r}; choose auto, {', '.join(available)}")
    if not available[engine]():
        what = "its engine does not answer `docker info`" if engine == "docker" else "it is not on the PATH"
        raise UserError(f"cannot serve with {engine}: {what}; install or start it, or use --engine=embedded")
    return engine


def _docker_answers() -> bool:
    """The program alone is not enough: its engine must run, and this user must be allowed to use it.

    TensorFlow Serving's image is for x86-64, and crashes on most others that can run such at all.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=_DOCKER_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def warmed_up_for_xla(models: Mapping[str, Mapping[int, Path]]) -> bool:
    """Whether the newest version of a model was exported for a server with XLA, and loads on no other.

    Args:
        models: versions by model and number.
    """
    newest = (export_description(versions[max(versions)]) for versions in models.values())
    return any(description.get("server_xla") is True for description in newest)


def models_config(base_paths: Mapping[str, os.PathLike]) -> str:
    """TensorFlow Serving's ModelServerConfig for `--model_config_file`, with the folder of each model as it sees it."""
    entries = [
        f'  config {{ name: {_quote(name)} base_path: {_quote(os.fspath(path))} model_platform: "tensorflow" }}\n'
        for name, path in base_paths.items()
    ]
    return f"model_config_list {{\n{''.join(entries)}}}\n"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # protobuf's text format escapes quotes and backslashes likewise


def server_flags(config: os.PathLike, rest_port: int, grpc_port: int, xla: bool) -> list[str]:
    """What `tensorflow_model_server` is started with, by itself and in docker.

    Batching takes its sizes from each version's `batching_params.pbtxt`.
    """
    flags = [
        f"--port={grpc_port}",
        f"--rest_api_port={rest_port}",
        f"--rest_api_timeout_in_ms={1000 * _REST_SECONDS}",
        f"--model_config_file={os.fspath(config)}",
        "--enable_batching=true",
        "--enable_per_model_batching_parameters=true",
    ]
    return [*flags, "--xla_cpu_compilation_enabled=true"] if xla else flags


def docker_command(saved_models: Path, config_folder: Path, rest_port: int, grpc_port: int, xla: bool) -> list[str]:
    """TensorFlow Serving in docker, the models and the configuration mounted read-only.

    `--init` and the entry point see to it that a signal reaches the server: the image's own entry point is a shell
    script, which would keep it.
    """
    config = _CONFIG_IN_CONTAINER / _CONFIG_NAME
    return [
        *("docker", "run", "--rm", "--init"),
        *("-p", f"{rest_port}:{REST_PORT}", "-p", f"{grpc_port}:{GRPC_PORT}"),
        *("-v", f"{saved_models}:{MODELS_IN_CONTAINER}:ro", "-v", f"{config_folder}:{_CONFIG_IN_CONTAINER}:ro"),
        *("--entrypoint", "tensorflow_model_server", DOCKER_IMAGE),
        *server_flags(config, REST_PORT, GRPC_PORT, xla),
    ]


def _serve_embedded(
    folder: Path, models: list[str] | None, rest_port: int, grpc_port: int, stop: threading.Event
) -> None:
    import_tensorflow()
    from keras_apps.serving.embedded import EmbeddedServer

    with EmbeddedServer(folder, rest_port=rest_port, grpc_port=grpc_port, models=models) as server:
        _announce("the embedded server", server.models, server.rest_port, server.grpc_port)
        stop.wait()


def _check_ports(rest_port: int, grpc_port: int) -> None:
    """TensorFlow Serving logs a port in use and ends, or serves without REST; this says it in one line."""
    from keras_apps.serving.embedded import bind

    with bind("0.0.0.0", rest_port, "REST"), bind("0.0.0.0", grpc_port, "gRPC"):
        pass


def _announce(engine: str, models: list[str], rest_port: int, grpc_port: int) -> None:
    print(
        f"{engine} serves {', '.join(models)}: REST http://localhost:{rest_port}, gRPC localhost:{grpc_port}; "
        f"try: curl http://localhost:{rest_port}/v1/models/{models[0]}/metadata",
        flush=True,
    )


def _run(
    command: list[str], probe: Callable[[], object], when_ready: Callable[[], None], stop: threading.Event
) -> None:
    """Runs a server until `stop`; neither it nor what it started survives."""
    # In a session of its own, so that Ctrl-C reaches it only through here, and its whole group can be ended.
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            ready = False
            while not stop.wait(0.2):
                if process.poll() is not None:
                    raise UserError(
                        f"{command[0]} ended by itself with status {process.returncode}; its messages above say why"
                    )
                if not ready:
                    with contextlib.suppress(UserError):
                        probe()
                        ready = True
                        when_ready()
        finally:
            _end(process)


def _end(process: subprocess.Popen) -> None:
    for number, seconds in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that the signals to end this process set, instead of ending it at once."""
    stop = threading.Event()
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is ignored under nohup
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
