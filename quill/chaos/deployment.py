"""A whole Quill on this machine, with a proxy that can break on each side's way to the store."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from quill.chaos.parts import Part, children_of, module, worker_id_of
from quill.chaos.proxy import FaultProxy
from quill.embedded import free_port, server_command
from quill.limits import Limits, Rate
from quill.settings import Settings
from quill.store.run import Store

_READY_S = 30.0
_POLL_S = 0.02

SLOTS = 8
STEP_S = 0.02
#: Of one tenant at once.
MAX_RUNNING_JOBS = 12
#: So wide that none is reached: what they count must be nothing when every job has ended and, of tokens,
#: which do not drain, what the jobs paid.
LIMITS = Limits(
    tokens=Rate(count=1, period_s=86_400, burst=10**9),
    concurrent_jobs=10**6,
    queued_jobs=10**6,
    queued_bytes=10**9,
)


@dataclass
class Deployment:
    folder: Path
    gateways: int = 1
    workers: int = 2
    seed: int = 0
    parts: list[Part] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._names = itertools.count()
        self.store_port = free_port()
        data = self.folder / "store"
        data.mkdir(parents=True, exist_ok=True)
        self.store_part = self._add("store", server_command(self.store_port, data))
        self.start_store()
        self.gateway_link = FaultProxy(self.store_port, self.seed)
        self.worker_link = FaultProxy(self.store_port, self.seed)
        for link in (self.gateway_link, self.worker_link):
            link.start()
        self.direct = Store.connect(Settings(redis_url=self.store_url))
        self.gateway_parts = [self._add_gateway() for _ in range(self.gateways)]
        self.worker_parts = [self._add_worker() for _ in range(self.workers)]
        self.supervisor = self._add("supervisor", module("quill.supervision"), self._worker_options())
        for part in self.parts[1:]:
            self.start(part)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in reversed(self.parts):
            if part.is_running:
                part.signal(signal.SIGCONT)
                part.kill()
        for link in (self.gateway_link, self.worker_link):
            link.stop()
        self.direct.close()

    @property
    def store_url(self) -> str:
        """Without a proxy between."""
        return f"redis://127.0.0.1:{self.store_port}/0"

    @property
    def gateway_urls(self) -> list[str]:
        return [f"http://127.0.0.1:{part.environment['QUILL_PORT']}" for part in self.gateway_parts]

    def _add(self, name: str, command: list[str], environment: Mapping[str, str] | None = None) -> Part:
        part = Part(name, command, self.folder / f"{name}.log", environment or {})
        self.parts.append(part)
        return part

    def _options(self, store_port: int, **options: object) -> dict[str, str]:
        named = {"redis_url": f"redis://127.0.0.1:{store_port}/0", "log_format": "json"} | options
        return {f"QUILL_{name.upper()}": str(value) for name, value in named.items()}

    def _add_gateway(self) -> Part:
        options = self._options(
            self.gateway_link.port,
            port=free_port(),
            auth="off",
            store_timeout_s=2,
            max_running_jobs=MAX_RUNNING_JOBS,
            global_limits=LIMITS.model_dump_json(),
        )
        return self._add(f"gateway-{next(self._names)}", module("gateway"), options)

    def _worker_options(self) -> dict[str, str]:
        return self._options(
            self.worker_link.port, engine="simulated", slots=SLOTS, simulated_step_s=STEP_S, drain_s=1
        )

    def _add_worker(self) -> Part:
        name = f"worker-{next(self._names)}"
        return self._add(name, module("worker"), self._worker_options() | {"QUILL_WORKER_ID": name})

    def start(self, part: Part) -> None:
        """A worker that is started again is another one to the store."""
        if "QUILL_WORKER_ID" in part.environment:
            part.environment = dict(part.environment) | {
                "QUILL_WORKER_ID": f"{part.name}-{next(self._names)}"
            }
        part.start()

    def start_store(self) -> None:
        """Returns when it answers."""
        self.store_part.start()
        deadline_s = time.monotonic() + _READY_S
        with redis.Redis(port=self.store_port, socket_timeout=1) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    if time.monotonic() > deadline_s:
                        raise
                    time.sleep(_POLL_S)

    def wait_ready(self) -> None:
        for part in self.gateway_parts:
            part.wait_for("gateway_ready")
        for part in (*self.worker_parts, self.supervisor):
            part.wait_for("worker_ready")

    def supervised_pid(self) -> int | None:
        """The supervisor's worker, if there is one just now."""
        children = children_of(self.supervisor.pid)
        return children[0] if children and worker_id_of(children[0]) else None

    def missing(self) -> list[str]:
        """What is not up, each with its exit status."""
        gone = [f"{part.name} ({part.status})" for part in self.parts if not part.is_running]
        return gone or ([] if self.supervised_pid() else ["the supervisor's worker"])

    def worker_pids(self) -> list[int]:
        supervised = self.supervised_pid()
        bare = [part.pid for part in self.worker_parts if part.is_running]
        return [*bare, *([supervised] if supervised else [])]
