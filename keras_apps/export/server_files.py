"""What TensorFlow Serving is to be told: which models, how to batch, how to be started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_apps.files import atomic_file
from keras_apps.serving.catalog import models_on_disk
from keras_apps.serving.launch import (
    DOCKER_IMAGE,
    GRPC_PORT,
    MODELS_IN_CONTAINER,
    REST_PORT,
    models_config,
    server_flags,
    warmed_up_for_xla,
)


def write_batching_params(path: Path, batch_sizes: Sequence[int]) -> None:
    """Writes `batching_params.pbtxt`, read per model with `--enable_per_model_batching_parameters`.

    Args:
        path: of the file.
        batch_sizes: the only sizes that reach the model; what is left over is padded to the next of them.
    """
    sizes = sorted(batch_sizes)
    lines = [f"max_batch_size {{ value: {sizes[-1]} }}"]
    lines += [f"allowed_batch_sizes: {size}" for size in sizes]
    # Long enough to gather requests that arrive together, too short to be felt.
    lines += ["batch_timeout_micros { value: 2000 }", "max_enqueued_batches { value: 64 }"]
    path.write_text("\n".join(lines) + "\n")


def write_server_files(saved_models: Path) -> None:
    """Writes models.config and docker-compose.yml for all models that are there.

    The server is started with XLA where the newest version of one of them was exported for that.

    Args:
        saved_models: the folder of the models.
    """
    written: dict[str, str] = {}
    # Of two exports at the same time, the one that sees less of the other may be the last to write.
    while written != (wanted := _server_files(saved_models)):
        for name, text in wanted.items():
            with atomic_file(saved_models / name) as temporary:
                temporary.write_text(text)
        written = wanted


def _server_files(saved_models: Path) -> dict[str, str]:
    models = models_on_disk(saved_models)
    return {
        "models.config": models_config({name: MODELS_IN_CONTAINER / name for name in sorted(models)}),
        "docker-compose.yml": _compose(warmed_up_for_xla(models)),
    }


def _compose(server_xla: bool) -> str:
    flags = server_flags(MODELS_IN_CONTAINER / "models.config", REST_PORT, GRPC_PORT, xla=False)
    flags.append("--model_config_file_poll_wait_seconds=30")

    def service(name: str, image: str, extra: list[str], rest: str) -> str:
        command = "\n".join(f"      - {flag}" for flag in flags + extra)
        return f"""  {name}:
    image: {image}
    init: true
    entrypoint: [tensorflow_model_server]
    restart: unless-stopped
    ports: ["8500:8500", "8501:8501"]
    volumes: [".:/models:ro"]
    command:
{command}
{rest}"""

    cpu = service(
        "serving", DOCKER_IMAGE, ["--xla_cpu_compilation_enabled=true"] if server_xla else [], '    profiles: ["cpu"]\n'
    )
    gpu = service(
        "serving-gpu",
        f"{DOCKER_IMAGE}-gpu",
        ["--xla_gpu_compilation_enabled=true"] if server_xla else [],
        """    profiles: ["gpu"]
    deploy:
      resources:
        reservations:
          devices: [{driver: nvidia, count: all, capabilities: [gpu]}]
""",
    )
    return f"""# docker compose --profile cpu up        or, with the NVIDIA container toolkit, --profile gpu
services:
{cpu}
{gpu}"""
