"""A thread pool that refuses work rather than queueing it without end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

from keras_apps.serving.request_error import RequestError


class BoundedPool:
    """Works on `workers` requests at a time, keeps `waiting` more, and refuses the others at once.

    A request takes its place before its body is read, so memory is bounded too: by the places times the largest body.
    """

    def __init__(self, workers: int, waiting: int) -> None:
        self.places = workers + waiting
        self.executor = ThreadPoolExecutor(workers, thread_name_prefix="inference")
        self._free = threading.BoundedSemaphore(self.places)

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Holds one of the places.

        Raises:
            RequestError: UNAVAILABLE when all of them are taken.
        """
        if not self._free.acquire(blocking=False):
            raise RequestError(
                grpc.StatusCode.UNAVAILABLE,
                f"the server is overloaded: {self.places} requests are in work or waiting; try again later",
            )
        try:
            yield
        finally:
            self._free.release()

    def close(self) -> None:
        """Drops what waits; what runs is not interrupted."""
        self.executor.shutdown(wait=False, cancel_futures=True)
