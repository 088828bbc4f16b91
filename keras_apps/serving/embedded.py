"""A stand-in for TensorFlow Serving on a laptop and in tests: the same protocols without batching and scale."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import grpc
import uvicorn

from keras_apps.errors import UserError, brief
from keras_apps.serving.catalog import Catalog
from keras_apps.serving.pool import BoundedPool

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 10.0
_LOADING_SECONDS = 60.0
_SPARE_GRPC_THREADS = 8  # so that status and metadata are answered while predictions take every place
_BACKLOG = 512


class EmbeddedServer:
    """Serves the models of a folder over TensorFlow Serving's gRPC and REST protocols.

    Args:
        saved_models: the folder, laid out `<model>/<version>/saved_model.pb`.
        host: the address to listen on; only this machine's, unless told otherwise.
        rest_port: the port for REST; 0 picks a free one. `rest_port` tells which once the server runs.
        grpc_port: the port for gRPC, likewise.
        poll_seconds: how often the folder is looked at for new versions.
        max_request_bytes: the largest request that is read.
        models: the models to serve; None for all.
        waiting: how many requests may wait for their turn; those beyond are refused at once.
    """

    def __init__(
        self,
        saved_models: str | os.PathLike,
        host: str = "127.0.0.1",
        rest_port: int = 8501,
        grpc_port: int = 8500,
        poll_seconds: float = 1.0,
        max_request_bytes: int = 64 * 2**20,
        models: Collection[str] | None = None,
        waiting: int = 64,
    ) -> None:
        self.host = host
        self.rest_port = rest_port
        self.grpc_port = grpc_port
        self._catalog = Catalog(Path(saved_models), models)
        self._poll_seconds = poll_seconds
        self._max_request_bytes = max_request_bytes
        self._waiting = waiting
        self._stopping = threading.Event()
        self._stopped = threading.Event()

    @property
    def models(self) -> list[str]:
        """The names of the models that are served."""
        return self._catalog.models()

    def start(self) -> EmbeddedServer:
        """Loads the models and answers from when it returns. A server is started once.

        Raises:
            UserError: if there is nothing to serve, or a port is taken.
        """
        # The ports come first: loading can take minutes, and a port in use is known at once.
        rest_socket = bind(self.host, self.rest_port, "REST")
        try:
            bind(self.host, self.grpc_port, "gRPC").close()  # gRPC's own message doesn't say what is wrong
            self._catalog.load()
            self._start(rest_socket)
        except BaseException:
            rest_socket.close()
            raise
        return self

    def _start(self, rest_socket: socket.socket) -> None:
        # These import TensorFlow; a missing folder or a port in use is reported without waiting for it.
        from keras_apps.serving.grpc_service import add_services
        from keras_apps.serving.rest import RestApi

        self._pool = BoundedPool(os.cpu_count() or 1, self._waiting)
        threads = self._pool.places + _SPARE_GRPC_THREADS
        self._grpc = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            maximum_concurrent_rpcs=threads,
            options=[("grpc.max_receive_message_length", self._max_request_bytes), ("grpc.so_reuseport", 0)],
        )
        add_services(self._grpc, self._catalog, self._pool, self._max_request_bytes)
        try:
            self.grpc_port = self._grpc.add_insecure_port(_address(self.host, self.grpc_port))
        except RuntimeError as error:
            raise _port_taken("gRPC", self.host, self.grpc_port, str(error)) from None
        self.rest_port = rest_socket.getsockname()[1]
        config = uvicorn.Config(
            RestApi(self._catalog, self._pool, self._max_request_bytes),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=int(_GRACE_SECONDS),
        )
        self._rest = uvicorn.Server(config)
        self._threads = [
            threading.Thread(target=self._rest.run, args=([rest_socket],), name="rest", daemon=True),
            threading.Thread(target=self._poll, name="poll", daemon=True),
        ]
        self._grpc.start()
        for thread in self._threads:
            thread.start()
        while not self._rest.started and self._threads[0].is_alive():
            self._stopping.wait(0.005)
        if not self._rest.started:
            self.stop()
            raise _port_taken("REST", self.host, self.rest_port, "the HTTP server ended at once")

    def _poll(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                self._catalog.refresh()
            except Exception:
                logger.exception("looking for new versions failed; trying again")

    def stop(self) -> None:
        """Takes no more requests, finishes those in flight within a grace time, and returns."""
        if self._stopping.is_set() or not hasattr(self, "_grpc"):
            return
        self._stopping.set()
        self._rest.should_exit = True
        grpc_stopped = self._grpc.stop(_GRACE_SECONDS)
        self._threads[0].join(_GRACE_SECONDS + 5)
        grpc_stopped.wait(_GRACE_SECONDS + 5)
        # A version that is being loaded is loaded to its end: the process would abort if it ended within TensorFlow.
        self._threads[1].join(_LOADING_SECONDS)
        self._pool.close()
        self._stopped.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Blocks until the server is stopped or `seconds` have passed; says whether it is stopped."""
        return self._stopped.wait(seconds)

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def bind(host: str, port: int, what: str) -> socket.socket:
    """A socket that listens on a port, and has it therefore: to have bound it keeps nobody else from listening.

    Args:
        host: the address.
        port: 0 picks a free one.
        what: the port's role, for the message.

    Raises:
        UserError: if the port can't be had.
    """
    if not 0 <= port < 2**16:  # the C library takes what is left of it
        raise UserError(f"cannot listen on {what} port {port}: ports go from 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"cannot listen on {host}: {error}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server just stopped leaves the port waiting
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise _port_taken(what, host, port, brief(error)) from None
    return bound


def _port_taken(what: str, host: str, port: int, reason: str) -> UserError:
    return UserError(
        f"cannot listen on {what} port {port} of {host}: {reason}; stop the other program, or choose another port"
    )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
