"""Listens for jobs that this worker must stop at once: cancelled ones, whose slot others wait for."""

from __future__ import annotations

import threading
from typing import cast

import structlog
from redis.exceptions import RedisError

from quill.store.run import Store
from worker.holdings import Holdings

_log = structlog.get_logger(__name__)

#: The list's name and the job's id.
Entry = tuple[bytes, bytes]

#: Of one blocking read; ending the worker waits at most this long. Below the store's own timeout.
_LISTEN_S = 0.5
_RETRY_S = 0.25


class Stops:
    """A message that is lost costs little: the next renewal's reply names the job again."""

    def __init__(self, store: Store, worker_id: str, holdings: Holdings) -> None:
        self._store = store
        self._key = store.keys.stops(worker_id)
        self._holdings = holdings
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="quill-stops", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._has_ended.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._has_ended.is_set():
            try:
                message = cast(Entry | None, self._store.client.brpop([self._key], timeout=_LISTEN_S))
            except RedisError:  # the keeper says that the store is away
                self._has_ended.wait(_RETRY_S)
                continue
            if message:
                job_id = message[1].decode()
                _log.info("stops a cancelled job", action="stop", job_id=job_id)
                self._holdings.cancel(job_id)
