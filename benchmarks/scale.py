"""What each script costs the server as the backlog grows: `python -m benchmarks.scale`.

The last line is one JSON object. Real Valkey with its append-only file, automatic rewrite off. A round
admits, claims, renews, releases and finishes some hundred jobs at a standing backlog; every call's time is
the server's own, from its statistics, which are reset before each. (Not from its slow log: that one logs what
runs inside scripts too, and its own upkeep costs milliseconds.) Each backlog has a server of its own and they
take turns, call by call: a machine that is slower for a while is so for all of them.
`..._p99_ratio` is the 99th percentile at the largest backlog, of one tenant or spread over 1,000, whichever
is worse, over that at 1,000 jobs of one tenant.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from benchmarks.server import valkey
from quill import ids
from quill.broker import parse_ticket
from quill.job import JobRequest
from quill.pricing import ModelFacts
from quill.settings import SWEEP_LIMIT, Settings
from quill.states import State
from quill.store import admission, calls, listing
from quill.store.admission import Submission
from quill.store.attempt import Chunk, Claim, Holding
from quill.store.call import Call, script
from quill.store.run import Store

T = TypeVar("T")
#: Work that lets others have a turn after each of its timed calls.
Steps = Generator[None, None, T]

MODEL, WORKER = "bench", "w"
SCRIPTS = ("admit", "claim", "renew", "emit", "release", "retry", "finish", "read", "page", "cancel", "sweep")
ROUND = 250
ROUNDS = 12
#: Jobs that one renewal or flush of output speaks of.
ABOARD = 32
FACTS = ModelFacts(context_tokens=32_768)
OUTCOME = '{"text":"42","finish_reason":"stop","usage":{"prompt_tokens":3,"completion_tokens":2}}'


@dataclass
class Bench:
    store: Store
    tenants: int
    times_us: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    waiting: list[tuple[str, str]] = field(default_factory=list)
    bytes_per_job: float = 0.0

    def submission(self) -> Submission:
        tenant = f"tenant{self.dice.randrange(self.tenants)}"
        request = JobRequest(prompt="What is 17 + 25?", max_tokens=50, stream=True)
        one = Submission(ids.new_job_id(), tenant, MODEL, request, 100, 600.0, 10_000_000)
        self.waiting.append((tenant, one.job_id))
        return one

    def fill(self, jobs: int) -> None:
        lua, client = script("admit"), self.store.client
        before_bytes = client.info("memory")["used_memory"]
        for _ in range(0, jobs, 1000):
            with client.pipeline(transaction=False) as pipe:
                for _ in range(1000):
                    pipe.evalsha(
                        lua.sha, 1, self.store.keys.namespace, *admission.admit(self.submission()).arguments
                    )
                pipe.execute()
        self.bytes_per_job = (client.info("memory")["used_memory"] - before_bytes) / jobs

    def each(self, name: str, calls_of: Sequence[Call[T]]) -> Steps[list[T]]:
        found = []
        for call in calls_of:
            found.append(self._timed(name, call))
            yield
        return found

    def _timed(self, name: str, call: Call[T]) -> T:
        lua = script(call.script)
        with self.store.client.pipeline(transaction=False) as pipe:
            pipe.config_resetstat()
            pipe.evalsha(lua.sha, 1, self.store.keys.namespace, *call.arguments)
            pipe.info("commandstats")
            _, reply, stats = pipe.execute()
        self.times_us[name].append(stats["cmdstat_evalsha"]["usec"])
        return call.answer(reply)

    def join(self) -> None:
        """Every slot has its ticket afterwards, or runs a job; a call pushes only some."""
        self.store.run(calls.join(WORKER, MODEL, ROUND, "{}", FACTS))
        while self.store.run(calls.sweep()).next_due_ms == 0:
            pass

    def tickets(self, count: int) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        while len(found) < count:
            entry: Any = self.store.client.rpop(self.store.keys.ticket_list(MODEL))
            if entry is None:
                self.join()
            else:
                found.append(parse_ticket(json.loads(entry)["headers"]["id"]))
        return found

    def claimed(self, count: int) -> Steps[list[Claim]]:
        tickets = self.tickets(count)
        claims = [calls.claim(job_id, seq, WORKER, "token") for job_id, seq in tickets]
        return (yield from self.each("claim", claims))

    def expire(self, index: str, job_ids: Sequence[str]) -> None:
        self.store.client.zadd(f"{self.store.keys.namespace}:{index}:{MODEL}", dict.fromkeys(job_ids, 1))

    def round(self) -> Steps[None]:
        yield from self.each("admit", [admission.admit(self.submission()) for _ in range(ROUND)])
        held = yield from self.claimed(ROUND)
        holdings = [Holding(claim.job_id, claim.attempt, claim.token, 5) for claim in held]
        chunks = [Chunk(claim.job_id, claim.attempt, claim.token, 1, "{}") for claim in held]
        aboard = [slice(first, first + ABOARD) for first in range(0, ROUND, ABOARD)] * 32
        yield from self.each("renew", [calls.renew(WORKER, "{}", holdings[some]) for some in aboard[:ROUND]])
        yield from self.each("emit", [calls.emit(chunks[some], 60) for some in aboard[:ROUND]])
        yield from self.each("release", [calls.release(claim) for claim in held])
        held = yield from self.claimed(ROUND)
        yield from self.each(
            "retry", [calls.retry(claim, base_s=0, pause_at_most_s=0, draw=0) for claim in held]
        )
        held = yield from self.claimed(ROUND)
        ends = [calls.finish(claim, State.SUCCEEDED, OUTCOME, produced_tokens=5) for claim in held]
        yield from self.each("finish", ends)
        some_jobs = self.dice.sample(self.waiting, ROUND)
        yield from self.each("read", [calls.read(tenant, [job_id]) for tenant, job_id in some_jobs])
        yield from self.each("page", [listing.page(tenant, None, 20) for tenant, _ in some_jobs])
        yield from self.cancel()
        yield from self.sweep_and_bury()

    def cancel(self) -> Steps[None]:
        """Jobs that wait, from anywhere in the backlog."""
        owners = {job_id: tenant for tenant, job_id in self.dice.sample(self.waiting, 3 * ROUND)}
        looked_at = [
            job for job_id, tenant in owners.items() for job in self.store.run(calls.read(tenant, [job_id]))
        ]
        queued = [job.id for job in looked_at if job and job.position][:ROUND]
        yield from self.each("cancel", [calls.cancel(job_id, owners[job_id]) for job_id in queued])
        for _ in queued:
            self.store.run(admission.admit(self.submission()))

    def sweep_and_bury(self) -> Steps[None]:
        """With as much to do as one call does at most."""
        held = [claim.job_id for claim in (yield from self.claimed(ROUND))]
        # By the others' turns the worker may be taken for dead, and every lease for one to be spared.
        self.store.client.delete(f"{self.store.keys.namespace}:sweep")
        self.join()
        for first in range(0, ROUND, SWEEP_LIMIT):
            self.expire("leases", held[first : first + SWEEP_LIMIT])
            yield from self.each("sweep", [calls.sweep()])
        yield from self.claimed(ROUND)
        yield from self.each(
            "bury", [calls.bury(WORKER, is_crash=False) for _ in range(0, ROUND, SWEEP_LIMIT)]
        )
        self.join()


@contextmanager
def backlog(jobs: int, tenants: int) -> Iterator[Bench]:
    with valkey() as url:
        store = Store.connect(Settings(redis_url=url))
        store.client.config_set("auto-aof-rewrite-percentage", 0)
        for name in (*SCRIPTS, "bury"):
            store.client.script_load(script(name).text)
        bench = Bench(store, tenants)
        bench.fill(jobs)
        bench.join()
        yield bench
        store.close()


def take_turns(works: Iterable[Steps[None]]) -> None:
    unfinished, end = list(works), object()
    while unfinished:
        unfinished = [work for work in unfinished if next(work, end) is not end]


def p99(times_us: list[int]) -> int:
    return sorted(times_us)[int(len(times_us) * 0.99)]


def report(title: str, bench: Bench) -> None:
    print(title, file=sys.stderr)
    for name, found in bench.times_us.items():
        middle_us = round(statistics.median(found))
        print(f"  {name:8} n {len(found):5}  p50 {middle_us:5} us  p99 {p99(found):5} us", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="a million jobs")
    options = parser.parse_args()
    large = 1_000_000 if options.full else 100_000

    with backlog(1000, 1) as small, backlog(large, 1) as one, backlog(large, 1000) as many:
        for _ in range(ROUNDS):
            take_turns(bench.round() for bench in (small, one, many))
        report("1,000 jobs, 1 tenant", small)
        report(f"{large:,} jobs, 1 tenant", one)
        report(f"{large:,} jobs, 1,000 tenants", many)
    worst_us = {name: max(p99(one.times_us[name]), p99(many.times_us[name])) for name in small.times_us}
    print(
        json.dumps(
            {"jobs": large, "tenants": 1000}
            | {f"{name}_p99_ratio": round(us / p99(small.times_us[name]), 2) for name, us in worst_us.items()}
            | {f"{name}_p99_us": us for name, us in worst_us.items()}
            | {"bytes_per_queued_job": round(many.bytes_per_job), "sweep_p99_ms": worst_us["sweep"] / 1000}
        )
    )


if __name__ == "__main__":
    main()
