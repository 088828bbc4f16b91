"""The one exception by which a request is refused, whatever protocol it came by."""

from __future__ import annotations

import grpc

from keras_apps.errors import printable


class RequestError(Exception):
    """A request that gets no answer but a reason.

    Args:
        code: the gRPC status; the REST API translates it as TensorFlow Serving does.
        message: one line for the client; it may quote the request.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        self.code = code
        self.message = printable(message)
        super().__init__(self.message)


def invalid(message: str) -> RequestError:
    """The client's mistake."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> RequestError:
    """No such model or version."""
    return RequestError(grpc.StatusCode.NOT_FOUND, message)
