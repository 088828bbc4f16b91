"""The REST side of the client."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_apps.errors import UserError, brief
from keras_apps.serving.client_errors import refused, timed_out, unreachable

_PIECE_BYTES = 2**20


class Rest:
    """The three questions over the standard library.

    Args:
        host: the server.
        port: its REST port.
        path: what a proxy has the API under.
        is_secure: whether to speak HTTPS.
        timeout: how many seconds a request may take.
    """

    def __init__(self, host: str, port: int, path: str, is_secure: bool, timeout: float) -> None:
        self._host = host
        self._port = port
        self._path = path
        self._connection = http.client.HTTPSConnection if is_secure else http.client.HTTPConnection
        self._timeout = timeout

    def predict(
        self, model: str, inputs: Mapping[str, Any], signature: str, version: int | None, infos: Mapping[str, Any]
    ) -> dict[str, list]:
        """Runs a signature; see `Client.predict`."""
        columns = {name: _to_json(name, value) for name, value in inputs.items()}
        answer = self._ask(model, version, ":predict", {"signature_name": signature, "inputs": columns})
        outputs = answer["outputs"]
        if len(infos["outputs"]) == 1:
            outputs = {next(iter(infos["outputs"])): outputs}
        return {name: _from_json(value) for name, value in outputs.items()}

    def status(self, model: str) -> dict[str, Any]:
        """The status as the API gives it."""
        return self._ask(model, None, "")

    def metadata(self, model: str, version: int | None) -> dict[str, Any]:
        """The signatures as the API gives them."""
        return self._ask(model, version, "/metadata")["metadata"]["signature_def"]

    def _ask(self, model: str, version: int | None, what: str, body: Any = None) -> dict[str, Any]:
        path = f"{self._path}/v1/models/{urllib.parse.quote(model, safe='')}"
        path += what if version is None else f"/versions/{version}{what}"
        where = f"{self._host}:{self._port}"
        connection = self._connection(self._host, self._port, timeout=self._timeout)
        deadline = time.monotonic() + self._timeout
        try:
            if body is None:
                connection.request("GET", path)
            else:
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            # The response may take it from the connection.
            sock = connection.sock
            sock.settimeout(_until(deadline))
            response = connection.getresponse()
            status, answer = response.status, _read(response, sock, deadline).decode("utf-8", "replace")
        except TimeoutError:
            raise timed_out(where, self._timeout) from None
        except (OSError, UnicodeError) as error:  # a name that can't be one of a computer's is a UnicodeError
            raise unreachable(where, brief(error)) from None
        except http.client.HTTPException as error:
            raise unreachable(where, f"no HTTP there ({type(error).__name__}); is it the gRPC port?") from None
        finally:
            connection.close()
        try:
            document = json.loads(answer)
        except (ValueError, RecursionError):
            raise unreachable(where, f"no JSON in its answer (HTTP {status}); is it another server?") from None
        if status != http.client.OK:
            reason = document.get("error", answer) if isinstance(document, dict) else answer
            raise refused(where, model, f"HTTP {status}", str(reason), bad_request=status == http.client.BAD_REQUEST)
        return document


def _read(response: http.client.HTTPResponse, sock: socket.socket, deadline: float) -> bytes:
    """The body; a socket by itself allows each of its pieces the whole time."""
    pieces = []
    while not response.isclosed():
        sock.settimeout(_until(deadline))
        piece = response.read1(_PIECE_BYTES)
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def _until(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _to_json(name: str, value: Any) -> Any:
    """Any nesting of lists, tuples and arrays of str, bytes, numbers and booleans."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_to_json(name, item) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, str | bool | int | float):
        return value
    raise UserError(f"input {name!r} holds a {type(value).__name__}; send text, bytes, numbers or booleans")


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value
