"""Who is served: `python -m benchmarks.fairness`; the last line is one JSON object.

Real Valkey, a real worker with the simulated engine, jobs of at least 50 ms. `share_error`: three tenants of
weights 3:2:1 with full lines, the largest relative distance of a share of the dispatches from its
weight. `light_p95_ratio`: the 95th percentile of a light tenant's wait for its answer beside 10,000 jobs
of another in line, over its wait alone; `light_start_p95_...` is the part before its start, which on full
slots cannot be shorter than until the next one is free. `batch_gap_s`: the longest time that waiting batch
jobs saw none of theirs start while interactive ones never ran out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

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

SLOTS = 32
TOKENS = 50
STEP_S = 0.001
WEIGHTS = {"gold": 3.0, "silver": 2.0, "bronze": 1.0}
#: Of the batch class, as the store has it.
BATCH_BOUND_S = 30.0


@dataclass(frozen=True)
class Bench:
    store: Store

    def admit(self, tenant: str, weight: float = 1.0, job_class: str = "standard") -> str:
        request = JobRequest.model_validate({"prompt": "x", "max_tokens": TOKENS, "class": job_class})
        submission = Submission(
            ids.new_job_id(), tenant, MODEL, request, 10, 600.0, 10_000_000, weight=weight
        )
        return self.store.run(admission.admit(submission)).job_id

    def job(self, tenant: str, job_id: str) -> Job:
        job = self.store.run(calls.read(tenant, [job_id]))[0]
        assert job is not None
        return job

    def waits_s(self, tenant: str, job_id: str) -> tuple[float, float]:
        """From its admission to its start and to its answer, by the store's clock; once it has ended."""
        while (job := self.job(tenant, job_id)).state is not State.SUCCEEDED:
            time.sleep(0.01)
        assert job.started_at is not None
        assert job.finished_at is not None
        return job.started_at - job.created_at, job.finished_at - job.created_at

    def starts(self) -> list[str]:
        """Ids in the order in which they started."""
        events: list[tuple[bytes, dict[bytes, bytes]]] = self.store.client.xrange(self.store.keys.events)  # type: ignore[assignment]
        return [fields[b"job"].decode() for _, fields in events if fields.get(b"state") == b"running"]


@contextmanager
def service() -> Iterator[Bench]:
    with valkey() as url:
        store = Store.connect(Settings(redis_url=url))
        try:
            with worker.running(url, slots=SLOTS, simulated_step_s=STEP_S):
                yield Bench(store)
        finally:
            store.close()


def share_error(dispatches: int) -> float:
    with service() as bench:
        owners: dict[str, str] = {}
        for _ in range(dispatches):
            owners |= {bench.admit(tenant, weight): tenant for tenant, weight in WEIGHTS.items()}
        while len(starts := bench.starts()) < dispatches:
            time.sleep(0.2)
        # What started while the lines were still being filled proves nothing.
        counted = Counter(owners[job_id] for job_id in starts[dispatches // 5 : dispatches])
    total = sum(WEIGHTS.values())
    shares = {tenant: counted[tenant] / counted.total() for tenant in WEIGHTS}
    return max(abs(shares[tenant] * total / weight - 1) for tenant, weight in WEIGHTS.items())


def light_p95_s(heavy_jobs: int, jobs: int) -> tuple[float, float]:
    """Of the waits for the start and for the answer."""
    with service() as bench:
        for _ in range(heavy_jobs):
            bench.admit("heavy")
        bench.waits_s("light", bench.admit("light"))
        waits_s = []
        for _ in range(jobs):
            waits_s.append(bench.waits_s("light", bench.admit("light")))
            time.sleep(0.02)
    starts_s, answers_s = zip(*waits_s, strict=True)
    return statistics.quantiles(starts_s, n=20)[-1], statistics.quantiles(answers_s, n=20)[-1]


def batch_gap_s(seconds: float) -> float:
    """Interactive jobs weigh 8 times as much; costly batch jobs come far behind, but not for ever."""
    with service() as bench:
        batch = {bench.admit("night", job_class="batch") for _ in range(2000)}
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for _ in range(50):
                bench.admit("day", job_class="interactive")
            time.sleep(0.05)
        waits_at = sorted(
            job.started_at for job_id in batch if (job := bench.job("night", job_id)).started_at is not None
        )
    gaps_s = [later - earlier for earlier, later in pairwise(waits_at)]
    return max(gaps_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dispatches", type=int, default=3000)
    parser.add_argument("--heavy-jobs", type=int, default=10_000)
    parser.add_argument("--light-jobs", type=int, default=200)
    parser.add_argument("--batch-seconds", type=float, default=10.0)
    options = parser.parse_args()
    error = share_error(options.dispatches)
    print(f"share_error {error:.3f}")
    start_alone_s, alone_s = light_p95_s(0, options.light_jobs)
    start_beside_s, beside_s = light_p95_s(options.heavy_jobs, options.light_jobs)
    gap_s = batch_gap_s(options.batch_seconds)
    print(
        json.dumps(
            {
                "share_error": round(error, 4),
                "light_start_p95_alone_ms": round(start_alone_s * 1000, 2),
                "light_start_p95_beside_heavy_ms": round(start_beside_s * 1000, 2),
                "light_p95_alone_ms": round(alone_s * 1000, 2),
                "light_p95_beside_heavy_ms": round(beside_s * 1000, 2),
                "light_p95_ratio": round(beside_s / alone_s, 2),
                "batch_gap_s": round(gap_s, 2),
                "batch_bound_s": BATCH_BOUND_S,
            }
        )
    )


if __name__ == "__main__":
    main()
