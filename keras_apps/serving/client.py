"""A client of a running server: TensorFlow Serving, natively or in docker, or the embedded one.

Importing this module imports no TensorFlow, and REST needs none; gRPC's stubs do import it, when a client is made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from keras_apps.errors import UserError
from keras_apps.serving.client_errors import unreachable
from keras_apps.serving.rest_client import Rest

_DEFAULT_PORTS = {"rest": 8501, "grpc": 8500}


class Client:
    """Asks a server for predictions; the answers are the same over both protocols.

    A model's metadata is read once: make a new client after its signatures have changed.

    Args:
        address: `host:port` or `http://host:port`; without a port, 8501 for REST and 8500 for gRPC.
        protocol: "rest" or "grpc".
        timeout: how many seconds a request may take.

    Raises:
        UserError: if the address is malformed or the protocol unknown.
    """

    def __init__(self, address: str, protocol: Literal["rest", "grpc"] = "rest", timeout: float = 60.0) -> None:
        if protocol not in _DEFAULT_PORTS:
            raise UserError(f"unknown protocol {protocol!r}; choose rest or grpc")
        endpoint = _Endpoint.parse(address, _DEFAULT_PORTS[protocol])
        self._where = f"{endpoint.host}:{endpoint.port}"
        if protocol == "rest":
            self._transport = Rest(endpoint.host, endpoint.port, endpoint.path, endpoint.scheme == "https", timeout)
        else:
            from keras_apps.serving.grpc_client import Grpc

            self._transport = Grpc(endpoint.host, endpoint.port, timeout)
        self._metadata: dict[tuple[str, int | None], dict[str, Any]] = {}

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Sequence | np.ndarray],
        signature: str = "serving_default",
        version: int | None = None,
    ) -> dict[str, list]:
        """Runs a signature on a batch.

        Args:
            model: the model's name.
            inputs: by name, batch first. Text is str, binary strings are bytes.
            signature: the signature's name.
            version: the model's version; None for the one that is served.

        Returns:
            The outputs, sorted by name, batch first: text as str, outputs whose name ends in `_bytes` as bytes, numbers
            as Python's.

        Raises:
            UserError: if the server can't be reached, takes too long, or refuses.
        """
        # Known beforehand: REST leaves the name of a single output out, and gRPC needs the inputs' types.
        infos = self._signature(model, signature, version)
        for name in inputs:
            if name not in infos["inputs"]:
                raise UserError(f"model {model!r} has no input {name!r}; it takes: {', '.join(infos['inputs'])}")
        with _understanding(self._where):
            return dict(sorted(self._transport.predict(model, inputs, signature, version, infos).items()))

    def _signature(self, model: str, signature: str, version: int | None) -> dict[str, Any]:
        key = (model, version)
        if key not in self._metadata:
            self._metadata[key] = self.metadata(model, version)
        signatures = self._metadata[key]
        if signature not in signatures:
            there = ", ".join(sorted(name for name in signatures if not name.startswith("__")))
            raise UserError(f"model {model!r} has no signature {signature!r}; it has: {there}")
        return signatures[signature]

    def status(self, model: str) -> list[dict[str, Any]]:
        """The versions of a model, each with `version`, `state`, `error_code` and `error_message`.

        Raises:
            UserError: if the server can't be reached, takes too long, or doesn't know the model.
        """
        with _understanding(self._where):
            entries = self._transport.status(model)["model_version_status"]
            return [
                {"version": int(entry["version"]), "state": entry["state"], **entry["status"]}
                for entry in sorted(entries, key=lambda entry: -int(entry["version"]))
            ]

    def metadata(self, model: str, version: int | None = None) -> dict[str, Any]:
        """The signatures of a model by name: its `inputs` and `outputs`, by name, with `dtype` and `shape` (-1: any).

        Raises:
            UserError: if the server can't be reached, takes too long, or doesn't know the model.
        """
        with _understanding(self._where):
            signatures = self._transport.metadata(model, version)["signature_def"]
            return {
                name: {side: {key: _tensor_info(info) for key, info in signature[side].items()} for side in _SIDES}
                for name, signature in signatures.items()
            }


_SIDES = ("inputs", "outputs")


def _tensor_info(info: Mapping[str, Any]) -> dict[str, Any]:
    shape = info.get("tensor_shape", {})
    sizes = None if shape.get("unknown_rank") else [int(dim["size"]) for dim in shape.get("dim", [])]
    return {"dtype": info["dtype"], "shape": sizes}


@dataclasses.dataclass(frozen=True)
class _Endpoint:
    scheme: str
    host: str
    port: int
    path: str

    @staticmethod
    def parse(address: str, default_port: int) -> _Endpoint:
        try:
            parts = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
            if parts.scheme not in ("http", "https", "grpc") or not (parts.hostname and parts.hostname.isprintable()):
                raise ValueError("expected host:port")
            path = urllib.parse.quote(parts.path, safe="/%")
            default_port = 443 if parts.scheme == "https" else default_port
            return _Endpoint(parts.scheme, parts.hostname, parts.port or default_port, path.rstrip("/"))
        except ValueError as error:
            raise UserError(f"malformed server address {address!r}: {error}; write it like localhost:8501") from None


@contextlib.contextmanager
def _understanding(where: str) -> Iterator[None]:
    """Refuses, in one line, an answer that has not the form of TensorFlow Serving's."""
    try:
        yield
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        kind = type(error).__name__
        raise unreachable(where, f"its answer isn't TensorFlow Serving's ({kind}); is it another server?") from error
