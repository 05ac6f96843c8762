"""How soon a cancelled job's slot is free: `python -m benchmarks.cancel`; the last line is one JSON object.

Real Valkey, a real worker with the simulated engine whose slots are all taken by streaming jobs, and a line
behind them. From a cancel's answer, by the store's clock, to the claim of the job that gets the slot: its
thread is free only when the engine has let go of the cancelled one. `streams_ended` counts those whose last
event is the terminal one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import worker
from benchmarks.server import valkey
from benchmarks.worker import MODEL
from quill import ids
from quill.job import Job, JobRequest
from quill.settings import Settings
from quill.states import State
from quill.store import admission, calls
from quill.store.admission import Submission
from quill.store.run import Store

TENANT = "bench"
SLOTS = 8
#: Longer than the whole run.
TOKENS = 30_000
STEP_S = 0.02


@contextmanager
def service() -> Iterator[Store]:
    with valkey() as url:
        store = Store.connect(Settings(redis_url=url))
        try:
            with worker.running(url, slots=SLOTS, simulated_step_s=STEP_S):
                yield store
        finally:
            store.close()


def admit(store: Store) -> str:
    request = JobRequest(prompt="x", max_tokens=TOKENS, stream=True)
    submission = Submission(ids.new_job_id(), TENANT, MODEL, request, 10, 600.0, 10_000)
    return store.run(admission.admit(submission)).job_id


def job(store: Store, job_id: str) -> Job:
    found = store.run(calls.read(TENANT, [job_id]))[0]
    assert found is not None
    return found


def started_at(store: Store, job_id: str) -> float:
    """Waits for its claim."""
    while (found := job(store, job_id)).started_at is None:
        time.sleep(0.002)
    return found.started_at


def last_state(store: Store, job_id: str) -> State | None:
    """Of the events that a stream of this job ends by."""
    events: list[tuple[bytes, dict[bytes, bytes]]] = store.client.xrange(store.keys.events)  # type: ignore[assignment]
    states = [fields[b"state"] for _, fields in events if fields.get(b"job") == job_id.encode()]
    return State(states[-1].decode()) if states else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cancels", type=int, default=200)
    options = parser.parse_args()
    freed_ms, ended = [], 0
    with service() as store:
        running = deque(admit(store) for _ in range(SLOTS))
        for job_id in running:
            started_at(store, job_id)
        for _ in range(options.cancels):
            successor = admit(store)
            cancelled = running.popleft()
            store.run(calls.cancel(cancelled, TENANT))
            cancelled_at = job(store, cancelled).finished_at
            assert cancelled_at is not None
            freed_ms.append((started_at(store, successor) - cancelled_at) * 1000)
            ended += last_state(store, cancelled) is State.CANCELLED
            running.append(successor)
    freed_ms.sort()
    print(
        json.dumps(
            {
                "cancels": len(freed_ms),
                "freed_p50_ms": round(freed_ms[len(freed_ms) // 2], 1),
                "freed_p99_ms": round(freed_ms[int(len(freed_ms) * 0.99)], 1),
                "freed_max_ms": round(freed_ms[-1], 1),
                "streams_ended": ended,
            }
        )
    )


if __name__ == "__main__":
    main()
