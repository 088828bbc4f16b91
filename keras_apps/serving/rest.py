"""TensorFlow Serving's REST API as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import json_format
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from keras_apps.serving import json_tensor, messages
from keras_apps.serving.catalog import Catalog
from keras_apps.serving.pool import BoundedPool
from keras_apps.serving.predict import predict, signature_def
from keras_apps.serving.request_error import RequestError

logger = logging.getLogger(__name__)

_BODY_SECONDS = 60.0  # a client that sends more slowly would keep its place from others
_DROP_SECONDS = 2.0

_PATH = re.compile(
    r"/v1/models/(?P<model>[^/:]+)"
    r"(?:/versions/(?P<version>[0-9]{1,19})|/labels/(?P<label>[^/:]+))?"
    r"(?P<what>:predict|:classify|:regress|/metadata)?"
)
_HTTP_STATUS = {  # the rest are 500
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class _HttpError(Exception):
    """A refusal that only HTTP knows."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class _Body:
    """A request's body, of which some may be left when the request is refused.

    A client that is still sending when the connection closes sees a reset and not the answer: so what comes within a
    short time is dropped first.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._ended = not message.get("more_body", False)
        return message

    async def drop_rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DROP_SECONDS):
                while not self._ended:
                    await self.receive()


class RestApi:
    """The application: model status, metadata and predict.

    Args:
        catalog: the models.
        pool: where predictions run.
        max_request_bytes: the largest body that is read.
    """

    def __init__(self, catalog: Catalog, pool: BoundedPool, max_request_bytes: int) -> None:
        self._catalog = catalog
        self._pool = pool
        self._max_request_bytes = max_request_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; whatever happens, in JSON."""
        body = _Body(receive)
        request = Request(scope, body.receive)
        try:
            response = Response(await self._answer(request), media_type="application/json")
        except _HttpError as error:
            response = _refusal(error.status, str(error), error.headers)
        except RequestError as error:
            response = _refusal(_HTTP_STATUS.get(error.code, 500), error.message)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            # By the server that ends, which waits no longer, not for the rest of a body either.
            return await _refusal(503, "the server is stopping; this took longer than it waits")(scope, receive, send)
        except Exception:
            logger.exception("%s %s failed", request.method, scope["path"])
            response = _refusal(500, "internal error; the server's log says more")
        if request.headers.get("expect", "").lower() != "100-continue":  # such a client waits for leave to send it
            await body.drop_rest()
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> bytes:
        match = _PATH.fullmatch(request.scope["path"])
        if match is None:
            raise _HttpError(404, "unknown path; expected /v1/models/NAME[/versions/VERSION][:predict|/metadata]")
        model, version, what = match["model"], match["version"], match["what"]
        method = "POST" if what and what.startswith(":") else "GET"
        if request.method != method:
            raise _HttpError(405, f"this path takes {method}, not {request.method}", {"Allow": method})
        if match["label"]:
            raise RequestError(grpc.StatusCode.UNIMPLEMENTED, "version labels are not supported; use /versions/VERSION")
        number = int(version) if version else None
        if what is None:
            return _as_json(messages.status_response(self._catalog, model, number))
        if what == "/metadata":
            return _metadata_json(messages.metadata_response(self._catalog, model, number))
        if what != ":predict":
            raise RequestError(grpc.StatusCode.UNIMPLEMENTED, f"{what[1:]} is not supported; use predict")
        with self._pool.place():
            body = await self._read(request)
            return await self._in_pool(functools.partial(self._predict, model, number, body))

    async def _read(self, request: Request) -> bytes:
        """The body, read no further than the limit."""
        too_large = _HttpError(413, f"the request is larger than {self._max_request_bytes} bytes")
        if int(request.headers.get("content-length", 0)) > self._max_request_bytes:
            raise too_large
        chunks, size = [], 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > self._max_request_bytes:
                        raise too_large
                    chunks.append(chunk)
        except TimeoutError:
            raise _HttpError(408, f"the request did not arrive within {_BODY_SECONDS:g} seconds") from None
        return b"".join(chunks)

    async def _in_pool(self, work: Callable[[], bytes]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._pool.executor, work)

    def _predict(self, model: str, version: int | None, body: bytes) -> bytes:
        loaded = self._catalog.get(model, version)
        document = json_tensor.parse_body(body)
        name = json_tensor.signature_name(document)
        inputs = json_tensor.inputs_from_json(document, signature_def(loaded, name).inputs)
        return json_tensor.answer_as_json(predict(loaded, name, inputs), rows="instances" in document)


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    body = json_tensor.dump({"error": " ".join(message.split())})
    return Response(body, status, headers, media_type="application/json")


def _as_json(message: Any) -> bytes:
    return json_tensor.dump(_as_dict(message))


def _as_dict(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _metadata_json(response: Any) -> bytes:
    """As TensorFlow Serving prints it: the map is unpacked from its Any."""
    signatures = messages.signature_map(response)
    answer = {"model_spec": _as_dict(response.model_spec), "metadata": {"signature_def": _as_dict(signatures)}}
    return json_tensor.dump(answer)
