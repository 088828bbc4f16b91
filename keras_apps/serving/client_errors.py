"""What a client says where it gets no answer, the same over both protocols."""

from __future__ import annotations

from keras_apps.errors import RequestRefused, UserError


def unreachable(where: str, reason: str) -> UserError:
    """No server answers."""
    return UserError(f"no model server at {where}: {reason}; start one with `serve`, or give another address")


def timed_out(where: str, seconds: float) -> UserError:
    """The server is there but slow."""
    return UserError(f"{where} did not answer within {seconds:g} seconds; send less at once, or allow it more time")


def refused(where: str, model: str, status: str, reason: str, *, bad_request: bool) -> UserError:
    """The server says no, and why; `bad_request` where it is these inputs that it can't take."""
    kind = RequestRefused if bad_request else UserError
    return kind(f"{where} refused the request for model {model!r} ({status}): {' '.join(reason.split())}")
