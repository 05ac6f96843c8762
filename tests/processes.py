"""Real gateways, workers and intakes as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from quill.chaos.parts import children_of
from quill.client import Client
from quill.job import Job
from quill.states import State
from tests.valkey import as_user

T = TypeVar("T")

#: Module -> the store's user that it connects as.
_ROLES = {"gateway": "gateway", "quill.intake": "intake"}


def eventually(look: Callable[[], T], *, within_s: float = 20.0) -> T:
    """What ``look`` gives, as soon as it is true."""
    deadline_s = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)
    return found


def wait_until_running(client: Client, *jobs: Job) -> None:
    eventually(lambda: all(client.get(job.id).state is State.RUNNING for job in jobs))


class Process:
    """One `python -m MODULE`; its structured log is at hand."""

    def __init__(self, module: str, log: Path, **settings: object) -> None:
        self.log = log
        named = {f"QUILL_{name.upper()}": str(value) for name, value in settings.items()}
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | named,
                stdout=out,
                stderr=out,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def said(self, action: str) -> list[dict[str, Any]]:
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [said for line in lines if (said := json.loads(line)).get("action") == action]

    def wait_for(self, action: str, *, within_s: float = 60.0) -> dict[str, Any]:
        def look() -> list[dict[str, Any]]:
            assert self._process.poll() is None, self.log.read_text()
            return self.said(action)

        return eventually(look, within_s=within_s)[-1]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def kill_with_children(self) -> None:
        """Children that are left alone end in their own time, and speak to the store until then."""
        children = children_of(self.pid)
        self.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def stop(self, *, within_s: float = 30.0) -> int:
        if self._process.poll() is None:
            self._process.terminate()
        return self.wait(within_s=within_s)

    def wait(self, *, within_s: float = 30.0) -> int:
        """Its exit status, once it has ended."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Fleet:
    """Starts processes against one store and ends them all."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self._folder = folder
        self._redis_url = redis_url
        self.processes: list[Process] = []

    def start(self, module: str, **settings: object) -> Process:
        log = self._folder / f"{len(self.processes)}-{module}.log"
        url = as_user(self._redis_url, _ROLES.get(module, "worker"))
        process = Process(module, log, **({"redis_url": url} | settings))
        self.processes.append(process)
        return process

    def worker(self, **settings: object) -> Process:
        """A worker with the simulated engine, unless told otherwise."""
        worker = self.start("worker", **({"engine": "simulated", "slots": 32} | settings))
        worker.wait_for("worker_ready")
        return worker

    def gateway(self, **settings: object) -> tuple[Process, str]:
        gateway = self.start("gateway", **({"port": 0, "auth": "off"} | settings))
        port = gateway.wait_for("gateway_ready")["port"]
        return gateway, f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        for process in self.processes:
            process.kill_with_children()
