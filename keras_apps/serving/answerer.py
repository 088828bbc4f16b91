"""One way to ask a model, wherever it is: a `.keras` file, a SavedModel, a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from keras_apps.errors import RequestRefused, UserError, brief
from keras_apps.files import exported_version
from keras_apps.quiet import without_stderr

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_apps.models.servable import ServableModel

Answerer = Callable[[Mapping[str, Sequence], str], dict[str, list]]
"""Inputs by name, batch first, and the signature -> outputs by name. RequestRefused where the model can't take them."""


def open_answerer(
    name: str,
    model_class: Callable[[], type[ServableModel]],
    model: str = "",
    server: str = "",
    protocol: Literal["rest", "grpc"] = "rest",
    changes: Mapping[str, Any] | None = None,
) -> Answerer:
    """Opens what `model` or `server` names.

    Args:
        name: of the model on a server.
        model_class: gives the class of a `.keras` file; asked only for one, since it imports TensorFlow.
        model: a run directory, a `.keras` file, or an exported version or the folder of its versions.
        server: `host:port` of a running server.
        protocol: of the server.
        changes: settings of the model that no weight depends on.

    Raises:
        UserError: where it is not there, both or neither are given, or there are changes to what is exported.
    """
    if bool(model) == bool(server):
        raise UserError("say who answers: either --model or --server")
    version = exported_version(model) if model else None
    if changes and (server or version):
        raise UserError(
            f"--{next(iter(changes))} is fixed in what is exported; give it to export, or name a run directory or a "
            ".keras file with --model"
        )
    if server:
        from keras_apps.serving.client import Client

        client = Client(server, protocol)
        return lambda inputs, signature: client.predict(name, inputs, signature)
    if version:
        return _of_saved_model(version)
    loaded = model_class().load(model, **(changes or {}))
    specs = {signature: each.inputs for signature, each in loaded.signatures().items()}
    return _of_functions(lambda inputs, signature: loaded.serve(signature, **inputs), specs)


def _of_saved_model(path: Path) -> Answerer:
    import tensorflow as tf

    from keras_apps.serving.catalog import load_saved_model

    try:
        # SentencePiece has a line for each model that normalises nothing.
        with without_stderr():
            signatures = load_saved_model(path).signatures
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{path}: can't be loaded as a SavedModel ({brief(error)})") from error

    specs = {signature: function.structured_input_signature[1] for signature, function in signatures.items()}
    return _of_functions(lambda inputs, signature: signatures[signature](**inputs), specs)


def _of_functions(
    run: Callable[[Mapping[str, tf.Tensor], str], Mapping[str, tf.Tensor]],
    specs: Mapping[str, Mapping[str, tf.TensorSpec]],
) -> Answerer:
    import tensorflow as tf

    from keras_apps.serving.predict import readable

    def answer(inputs: Mapping[str, Sequence], signature: str) -> dict[str, list]:
        if signature not in specs:
            raise UserError(f"this model has no signature {signature!r}; it has: {', '.join(sorted(specs))}")
        tensors = {name: tf.constant(inputs[name], spec.dtype) for name, spec in specs[signature].items()}
        for name, spec in specs[signature].items():
            if not spec.shape.is_compatible_with(tensors[name].shape):
                raise RequestRefused(
                    f"{name} has the shape {tensors[name].shape}, where this model takes {spec.shape}; "
                    "is it another model's?"
                )
        try:
            outputs = run(tensors, signature)
        except tf.errors.InvalidArgumentError as error:
            raise RequestRefused(readable(error.message)) from error
        return {name: _plain(name, value.numpy()) for name, value in sorted(outputs.items())}

    return answer


def _plain(name: str, values: np.ndarray) -> Any:
    if values.dtype != object or name.endswith("_bytes"):
        return values.tolist()
    return np.vectorize(lambda value: value.decode("utf-8", "replace"), otypes=[object])(values).tolist()
