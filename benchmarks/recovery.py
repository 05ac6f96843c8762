"""A killed worker's jobs, on Quill and on its peers: `python -m benchmarks.recovery`; the last line is JSON.

The same script for each: jobs of 8 s fill one worker, a second one with as many free slots starts, kill -9 of
the first with all its processes. `recovery_...`: from the kill to each job's next start. `lost`: jobs that
did not end within two minutes. `doubled`: jobs that ended more than once. Each peer is set up to recover
as quickly as it can (benchmarks/peers); they need an environment of their own:

    python -m venv peers && peers/bin/pip install -r benchmarks/peers.txt
    python -m benchmarks.recovery --peers-python peers/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import redis

from benchmarks import worker
from benchmarks.server import valkey
from benchmarks.worker import MODEL
from quill import ids
from quill.chaos.parts import children_of
from quill.job import JobRequest
from quill.settings import Settings
from quill.store import admission
from quill.store.admission import Submission
from quill.store.run import Store

JOBS = 8
JOB_S = 8
STEP_S = 0.05
PATIENCE_S = 120.0
#: For a worker to be ready; none says so in a way that all have in common.
_BOOT_S = 3.0
PEERS = ("celery", "rq", "saq", "taskiq")


@dataclass
class Tally:
    lost: int = 0
    doubled: int = 0
    recoveries_s: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, float | None]:
        ordered = sorted(self.recoveries_s)

        def at(share: float) -> float | None:
            return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 2) if ordered else None

        return {
            "lost": self.lost,
            "doubled": self.doubled,
            "recovery_p50_s": at(0.5),
            "recovery_p99_s": at(0.99),
            "recovery_max_s": at(1.0),
        }


def descendants_of(pid: int) -> list[int]:
    children = children_of(pid)
    return children + [below for child in children for below in descendants_of(child)]


class System(ABC):
    """A queue under test, on an empty store."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.processes: list[subprocess.Popen[bytes]] = []

    @abstractmethod
    def submit(self) -> None:
        """As many jobs as one worker runs at once."""

    @abstractmethod
    def start_worker(self) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def noted(self, what: str) -> list[tuple[str, float]]:
        """`starts` or `ends`: job and time, since the epoch."""

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        for pid in (process.pid, *descendants_of(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def run_worker(self) -> subprocess.Popen[bytes]:
        self.processes.append(self.start_worker())
        return self.processes[-1]

    def close(self) -> None:
        for process in self.processes:
            self.kill(process)


class Peer(System):
    def __init__(self, url: str, name: str, python: str) -> None:
        super().__init__(url)
        self._command = [python, "-m", f"benchmarks.peers.{name}_peer"]
        self._environment = os.environ | {"BENCH_REDIS_URL": url, "BENCH_JOB_S": str(JOB_S)}
        self._client = redis.Redis.from_url(url)

    def submit(self) -> None:
        """Raises ``CalledProcessError`` if the peer is not installed."""
        command = [*self._command, "submit", str(JOBS)]
        subprocess.run(command, env=self._environment, check=True, capture_output=True)

    def start_worker(self) -> subprocess.Popen[bytes]:
        command = [*self._command, "worker", str(JOBS)]
        return subprocess.Popen(
            command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def noted(self, what: str) -> list[tuple[str, float]]:
        entries: Any = self._client.lrange(f"bench:{what}", 0, -1)
        pairs = (entry.decode().split() for entry in entries)
        return [(name, float(at_s)) for name, at_s in pairs]


class Ours(System):
    def __init__(self, url: str, module: str = "worker") -> None:
        super().__init__(url)
        self._module = module
        self._store = Store.connect(Settings(redis_url=url))

    def submit(self) -> None:
        for number in range(JOBS):
            request = JobRequest(prompt=f"job {number}", max_tokens=round(JOB_S / STEP_S))
            one = Submission(ids.new_job_id(), "bench", MODEL, request, 10, 600.0, 10_000)
            self._store.run(admission.admit(one))

    def start_worker(self) -> subprocess.Popen[bytes]:
        return worker.start(self.url, self._module, slots=JOBS, simulated_step_s=STEP_S)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Of a supervised worker only the worker: that its supervisor lives on is what it is for."""
        children = children_of(process.pid) if self._module == "quill.supervision" else []
        for pid in children or [process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self._store.close()

    def noted(self, what: str) -> list[tuple[str, float]]:
        state = b"running" if what == "starts" else b"succeeded"
        events: Any = self._store.client.xrange(self._store.keys.events)
        return [
            (fields[b"job"].decode(), int(entry_id.split(b"-")[0]) / 1000)
            for entry_id, fields in events
            if fields.get(b"state") == state
        ]


def until(look: Callable[[], object], within_s: float) -> bool:
    deadline_s = time.monotonic() + within_s
    while not look():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def one_kill(system: System, tally: Tally) -> None:
    first = system.run_worker()
    time.sleep(_BOOT_S)
    system.submit()
    if not until(lambda: len({name for name, _ in system.noted("starts")}) == JOBS, 30):
        raise SystemExit("the first worker does not run all jobs")
    system.run_worker()
    time.sleep(_BOOT_S)
    killed_s = time.time()
    system.kill(first)
    until(lambda: len({name for name, _ in system.noted("ends")}) == JOBS, PATIENCE_S)
    time.sleep(2 * JOB_S)  # whatever runs a second time ends now
    ends = Counter(name for name, _ in system.noted("ends"))
    tally.lost += JOBS - len(ends)
    tally.doubled += sum(count > 1 for count in ends.values())
    restarts: dict[str, float] = {}
    for name, at_s in system.noted("starts"):
        if at_s > killed_s:
            restarts.setdefault(name, at_s - killed_s)
    tally.recoveries_s += restarts.values()


def measure(make: Callable[[str], System], rounds: int) -> dict[str, float | None]:
    tally = Tally()
    for _ in range(rounds):
        with valkey() as url:
            system = make(url)
            try:
                one_kill(system, tally)
            finally:
                system.close()
    return tally.as_json()


def is_installed(name: str, python: str) -> bool:
    command = [python, "-c", f"import benchmarks.peers.{name}_peer"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers-python", default=sys.executable)
    options = parser.parse_args()
    systems: dict[str, Callable[[str], System]] = {
        "ours": Ours,
        "ours_supervised": lambda url: Ours(url, "quill.supervision"),
    }
    rows: dict[str, object] = {}
    for name in PEERS:
        if is_installed(name, options.peers_python):
            systems[name] = lambda url, name=name: Peer(url, name, options.peers_python)  # type: ignore[misc]
        else:
            rows[name] = "not installed"
    for name, make in systems.items():
        rows[name] = measure(make, options.rounds)
        print(f"{name}: {rows[name]}", file=sys.stderr)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
