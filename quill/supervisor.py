"""Runs the service's processes as one: starts them in order, restarts what dies, stops them in reverse."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import redis

from quill.embedded import free_port, server_command

_STORE_READY_S = 30.0
#: Loading a large model from a slow disk takes minutes.
_READY_S = 1_800.0
_POLL_S = 0.05
#: A worker may finish what runs; the rest goes on when the service is started again.
_DRAIN_S = 10.0
_STOP_S = 15.0
_RESTART_FIRST_S = 0.5
_RESTART_AT_MOST_S = 30.0
#: A process that lived this long has earned a quick restart.
_STABLE_S = 30.0


class ServiceFailed(Exception):
    """A part of the service could not be started."""


@dataclass(slots=True)
class Child:
    name: str
    command: list[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    pause_s: float = _RESTART_FIRST_S
    restart_at_s: float | None = None
    restarts: int = 0

    def start(self) -> None:
        # Out of the terminal's group: Ctrl-C reaches the supervisor, which stops the parts in order.
        self.process = subprocess.Popen(
            self.command, env=dict(self.environment), start_new_session=True, stdout=subprocess.DEVNULL
        )
        self.started_s = time.monotonic()
        self.restart_at_s = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def keep_alive(self) -> None:
        """Restarts it with exponential backoff if it has died."""
        now_s = time.monotonic()
        if self.is_running:
            return
        if self.restart_at_s is None:
            if now_s - self.started_s > _STABLE_S:
                self.pause_s = _RESTART_FIRST_S
            self.restart_at_s = now_s + self.pause_s
            self.pause_s = min(self.pause_s * 2, _RESTART_AT_MOST_S)
        elif now_s >= self.restart_at_s:
            self.restarts += 1
            self.start()

    def stop(self, grace_s: float) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


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
        self._stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
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

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        self._stopping.set()

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
            "QUILL_LOG_LEVEL": self.log_level,
            "QUILL_LOG_FORMAT": "console",
        }
        names = ["gateway", *["worker"] * self.workers, "quill.intake"]
        for name in names:
            child = Child(name, [sys.executable, "-m", name], environment)
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
            while not self._stopping.is_set():
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
        while not self._stopping.wait(_POLL_S):
            for child in self.children:
                child.keep_alive()

    def _stop(self) -> None:
        for child in reversed(self.children):
            child.stop(_STOP_S)
