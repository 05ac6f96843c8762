"""Workers killed again and again under the same jobs: `python -m benchmarks.kills`; the last line is JSON.

A hundred jobs run on one worker, another has a hundred free slots; kill -9 of the first, twenty times over,
each time of the one that has the jobs now. `bare`: without a supervisor, the store takes the jobs back when
their leases end. `supervised`: each worker has one, which sees it die. Times are from the kill to the slowest
job's next start (`rerun`) and to its return to the line (`requeued`), by the store's clock.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks import worker
from benchmarks.server import valkey
from benchmarks.worker import MODEL
from quill import ids
from quill.chaos.parts import children_of
from quill.job import JobRequest
from quill.settings import Settings
from quill.states import State
from quill.store import admission, calls
from quill.store.admission import Submission
from quill.store.run import Store

TENANT = "bench"
JOBS = 100
STEP_S = 0.05
#: An attempt of ten seconds: none ends between two kills.
TOKENS = 200


@dataclass
class Times:
    rerun_s: list[float] = field(default_factory=list)
    requeued_s: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, float]:
        return {
            "slowest_rerun_p50_s": round(statistics.median(self.rerun_s), 2),
            "slowest_rerun_max_s": round(max(self.rerun_s), 2),
            "slowest_requeued_max_s": round(max(self.requeued_s), 2),
        }


@dataclass
class Host:
    """One of the two that run the jobs in turn."""

    url: str
    is_supervised: bool
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """A supervisor too is a new one: the old one's pauses grow with every restart."""
        self.stop()
        module = "quill.supervision" if self.is_supervised else "worker"
        self.process = worker.start(self.url, module, slots=JOBS, simulated_step_s=STEP_S)

    def kill_worker(self) -> None:
        assert self.process is not None
        if self.is_supervised:
            (child,) = children_of(self.process.pid)
            os.kill(child, signal.SIGKILL)
        else:
            worker.end(self.process)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


@dataclass
class Bench:
    store: Store
    job_ids: list[str] = field(default_factory=list)

    def admit(self) -> None:
        for number in range(JOBS):
            request = JobRequest(prompt=f"job {number}", max_tokens=TOKENS)
            one = Submission(ids.new_job_id(), TENANT, MODEL, request, 10, 3600.0, 10_000)
            self.job_ids.append(self.store.run(admission.admit(one)).job_id)

    def capacity(self) -> int:
        return int(self.store.client.hget(self.store.keys.model(MODEL), "capacity") or 0)

    def slowest_s(self, state: State, since_ms: int) -> float | None:
        """Until the last of the jobs came to this state; ``None`` if one has not yet."""
        events: Any = self.store.client.xrange(self.store.keys.events, f"({since_ms}-0", "+")
        first_ms: dict[bytes, int] = {}
        for entry_id, fields in events:
            if fields.get(b"state") == state.encode():
                first_ms.setdefault(fields[b"job"], int(entry_id.split(b"-")[0]))
        return None if len(first_ms) < JOBS else (max(first_ms.values()) - since_ms) / 1000

    def now_ms(self) -> int:
        seconds, micros = self.store.client.time()
        return int(seconds * 1000 + micros // 1000)

    def states(self) -> list[State]:
        return [job.state for job in self.store.run(calls.read(TENANT, self.job_ids)) if job]


def until(look: Callable[[], object], within_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not look():
        if time.monotonic() > deadline_s:
            raise SystemExit("it did not happen in time")
        time.sleep(0.02)


@contextmanager
def two_hosts(url: str, is_supervised: bool) -> Iterator[tuple[Host, Host]]:
    hosts = Host(url, is_supervised), Host(url, is_supervised)
    try:
        yield hosts
    finally:
        for host in hosts:
            host.stop()


def kill_in_turn(is_supervised: bool, kills: int) -> tuple[Times, list[State]]:
    times = Times()
    with valkey() as url, two_hosts(url, is_supervised) as (busy, free):
        store = Store.connect(Settings(redis_url=url))
        bench = Bench(store)
        busy.start()
        until(lambda: bench.capacity() == JOBS)
        bench.admit()
        until(lambda: set(bench.states()) == {State.RUNNING})
        for number in range(kills):
            free.start()
            until(lambda: bench.capacity() == 2 * JOBS)
            at_ms = bench.now_ms()
            busy.kill_worker()
            until(lambda at_ms=at_ms: bench.slowest_s(State.RUNNING, at_ms) is not None)  # type: ignore[misc]
            times.rerun_s.append(bench.slowest_s(State.RUNNING, at_ms) or 0)
            times.requeued_s.append(bench.slowest_s(State.QUEUED, at_ms) or 0)
            print(f"kill {number + 1}: {times.rerun_s[-1]:.2f} s", file=sys.stderr)
            busy, free = free, busy
        until(lambda: State.RUNNING not in bench.states() and State.QUEUED not in bench.states())
        ends = bench.states()
        store.close()
    return times, ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", choices=("bare", "supervised"))
    options = parser.parse_args()
    report: dict[str, object] = {"kills": options.kills, "jobs": JOBS}
    unsuccessful = 0
    for name, is_supervised in (("bare", False), ("supervised", True)):
        if options.only not in (None, name):
            continue
        times, ends = kill_in_turn(is_supervised, options.kills)
        report[name] = times.as_json()
        unsuccessful += sum(state is not State.SUCCEEDED for state in ends)
    print(json.dumps(report | {"not_succeeded": unsuccessful}))


if __name__ == "__main__":
    main()
