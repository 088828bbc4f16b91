"""Writing a model as a SavedModel that TensorFlow Serving loads: raw requests in, raw answers out."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_apps.export.answers import plain
from keras_apps.export.readme import write_readme
from keras_apps.export.server_files import write_batching_params, write_server_files
from keras_apps.export.warmup import write_warmup
from keras_apps.files import EXPORTED_MODEL, atomic_directory, remove_incomplete, writing
from keras_apps.layers.recurrent import avoid_cudnn
from keras_apps.models.servable import SCHEMA_VERSION, ServableModel, Signature
from keras_apps.quiet import without_stderr
from keras_apps.serving.catalog import BATCHING_FILE

# A folder that is still being written is younger than this; an older one was left by a writer that was killed.
_ABANDONED_SECONDS = 3600

logger = logging.getLogger(__name__)


def export(
    model: ServableModel,
    saved_models: str | Path,
    name: str,
    *,
    server_xla: bool = False,
    summary: str = "",
    data: Mapping[str, Any] | None = None,
) -> Path:
    """Writes the next version of a model below `saved_models`, beside and renamed.

    Every signature is there twice: `serving_default` runs on any server, `serving_xla` has its core compiled by XLA;
    a further signature NAME has its NAME_xla.

    Args:
        model: what to export.
        saved_models: the folder that a server watches.
        name: of the model in it.
        server_xla: the server will be started with XLA: warm it up for the compiled signatures too, and start it so
            in the files written for docker compose. A server without XLA refuses to load such an export.
        summary: one line on what the model does, for the README.
        data: by which settings the data were read that it was trained on, `data` their name, where that is known.

    Returns:
        The folder of the new version.
    """
    model = _portable(model)
    folder = Path(saved_models) / name
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for each in (folder, folder.parent):
        remove_incomplete(each, older_than=_ABANDONED_SECONDS)
    signatures = model.signatures()
    while True:
        version = 1 + max((int(p.name) for p in folder.iterdir() if p.name.isdigit()), default=0)
        try:
            with atomic_directory(folder / str(version)) as temporary:
                _write(model, signatures, temporary, name, version, server_xla, summary, data)
            break
        except OSError:
            # Another exporter took this number meanwhile.
            if not (folder / str(version)).exists():
                raise
            logger.info("version %d of %s was just written by somebody else; writing the next", version, name)
    write_server_files(Path(saved_models))
    return folder / str(version)


def xla_name(signature: str) -> str:
    """The name of the compiled twin of a signature."""
    return "serving_xla" if signature == "serving_default" else f"{signature}_xla"


def _portable(model: ServableModel) -> ServableModel:
    """A copy whose recurrent layers use no cuDNN kernels: a graph with those in it does not run on a CPU."""
    copy = model.snapshot()
    avoid_cudnn(copy)
    return copy


def _write(
    model: ServableModel,
    signatures: Mapping[str, Signature],
    folder: Path,
    name: str,
    version: int,
    server_xla: bool,
    summary: str,
    data: Mapping[str, Any] | None,
) -> None:
    archive = keras.export.ExportArchive()
    # Those without weights, for their tables. Weights are found by the signatures, and would be written once more.
    for layer in model._flatten_layers():
        if layer.built and not layer.variables:
            archive.track(layer)
    for signature_name, signature in signatures.items():
        for endpoint, xla in ((signature_name, False), (xla_name(signature_name), True)):
            archive.add_endpoint(endpoint, signature.function(xla), input_signature=[dict(signature.inputs)])
    archive.write_out(str(folder), verbose=False)

    warm = dict(signatures)
    if server_xla:
        warm |= {xla_name(signature_name): signature for signature_name, signature in signatures.items()}
    model.save_for_inference(folder / EXPORTED_MODEL)
    write_warmup(folder / EXPORTED_MODEL.parent / "tf_serving_warmup_requests", name, warm)
    write_batching_params(folder / BATCHING_FILE, signatures["serving_default"].batch_sizes)

    # What the folder says of itself was really run, on the graph that was really written.
    worked = _worked_examples(folder, signatures)
    description = {
        "schema_version": SCHEMA_VERSION,
        "model": name,
        "version": version,
        "model_class": type(model).__name__,
        "data": dict(data or {"data": ""}),
        "server_xla": server_xla,
        "signatures": {
            signature_name: {
                "xla": xla_name(signature_name),
                "inputs": {key: _spec(spec) for key, spec in signature.inputs.items()},
                "outputs": worked[signature_name]["specs"],
                "batch_sizes": list(signature.batch_sizes),
                "example": {key: worked[signature_name][key] for key in ("request", "answer")},
            }
            for signature_name, signature in signatures.items()
        },
    }
    (folder / "signature.json").write_text(json.dumps(description, indent=2) + "\n")
    write_readme(folder / "README.md", description, summary)


def _worked_examples(folder: Path, signatures: Mapping[str, Signature]) -> dict[str, dict[str, Any]]:
    with without_stderr():
        loaded = tf.saved_model.load(str(folder))
    worked = {}
    for name, signature in signatures.items():
        request = signature.examples[0]
        function = loaded.signatures[name]
        answer = function(
            **{key: tf.constant(np.asarray([request[key]]), dtype=spec.dtype) for key, spec in signature.inputs.items()}
        )
        worked[name] = {
            "request": {key: plain(key, np.asarray([value])) for key, value in request.items()},
            "answer": {key: plain(key, value.numpy()) for key, value in sorted(answer.items())},
            "specs": {
                key: {"dtype": value.dtype.name, "shape": [None, *function.structured_outputs[key].shape[1:]]}
                for key, value in sorted(answer.items())
            },
        }
    return worked


def _spec(spec: tf.TensorSpec) -> dict[str, Any]:
    return {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
