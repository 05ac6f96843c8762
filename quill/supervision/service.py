"""Runs the service's processes as one: starts them in order, restarts what dies, stops them in reverse."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from quill.embedded import free_port, server_command
from quill.settings import Settings
from quill.supervision.child import Child, stop_together, watch
from quill.supervision.ending import Ending
from quill.supervision.worker import WorkerChild

_STORE_READY_S = 30.0
#: Loading a large model from a slow disk takes minutes.
_READY_S = 1_800.0
_POLL_S = 0.05
#: A worker may finish what runs; the rest goes on when the service is started again.
_DRAIN_S = 10.0
_STOP_S = 15.0


class ServiceFailed(Exception):
    """A part of the service could not be started."""


@dataclass
class Service:
    model: str
    host: str
    port: int
    redis_url: str | None
    data_dir: Path
    log_level: str = "warning"
    workers: int = 1
    children: list[Child] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self._ending = Ending()
        self._ending.listen()
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        if self.redis_url is None:
            self.redis_url = self._start_store()
        environment = os.environ | {
            "QUILL_REDIS_URL": self.redis_url,
            "QUILL_HOST": self.host,
            "QUILL_PORT": str(self.port),
            "QUILL_MODEL": self.model,
            "QUILL_DEFAULT_MODEL": self._served_name,
            "QUILL_DRAIN_S": str(_DRAIN_S),
            # One's own machine: whoever is on it may use it.
            "QUILL_AUTH": "off",
            "QUILL_LOG_LEVEL": self.log_level,
            "QUILL_LOG_FORMAT": "console",
        }
        settings = Settings(redis_url=self.redis_url)
        for child in (
            Child("gateway", [sys.executable, "-m", "gateway"], environment),
            *(WorkerChild(settings, environment) for _ in range(self.workers)),
            Child("intake", [sys.executable, "-m", "quill.intake"], environment),
        ):
            child.start()
            self.children.append(child)

    @property
    def _served_name(self) -> str:
        path = Path(self.model)
        return path.name if path.is_dir() else self.model

    def _start_store(self) -> str:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        port = free_port()
        store = Child("store", server_command(port, self.data_dir.resolve()), os.environ)
        store.start()
        self.children.append(store)
        deadline_s = time.monotonic() + _STORE_READY_S
        with redis.Redis(port=port, socket_timeout=1) as client:
            while True:
                try:
                    client.ping()
                    return f"redis://127.0.0.1:{port}/0"
                except redis.RedisError as error:
                    if time.monotonic() > deadline_s or not store.is_running:
                        raise ServiceFailed(f"the embedded store did not start in {self.data_dir}") from error
                    time.sleep(_POLL_S)

    def wait_ready(self) -> None:
        """Returns when a worker serves the model. Raises ``ServiceFailed`` if a part died at its start."""
        from quill.client import Client
        from quill.errors import QuillError

        deadline_s = time.monotonic() + _READY_S
        with Client(self.url, max_retries=0) as client:
            while not self._ending.requests:
                for child in self.children:
                    if not child.is_running:
                        raise ServiceFailed(f"{child.name} ended at its start; its reason is above")
                try:
                    if any(worker["model"] == self._served_name for worker in client.workers()):
                        return
                except QuillError:
                    if time.monotonic() > deadline_s:
                        raise
                time.sleep(_POLL_S)

    def watch(self) -> None:
        """Keeps every part alive until a signal comes."""
        watch(self.children, self._ending)

    def _stop(self) -> None:
        for child in reversed(self.children):
            stop_together([child], _STOP_S, self._ending)
