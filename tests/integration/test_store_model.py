"""Several workers that crash, stall, finish late and replay, against a plain model of what must hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from quill import ids
from quill.broker import parse_ticket
from quill.errors import JobNotCancellable
from quill.job import JobClass, JobRequest
from quill.limits import NO_BOUNDS, Limits, Rate, bounds_of
from quill.states import TERMINAL, TRANSITIONS, State
from quill.store import admission, calls
from quill.store.attempt import Chunk, Claim, Holding
from quill.store.refusals import Fenced, IllegalTransition, RetriesSpent, StaleTicket, WorkerBusy
from quill.store.run import Store
from tests.integration.jobs import MODEL, join, outcome_of, submission

#: A stream's entry: its id and its fields.
Entry = tuple[bytes, dict[bytes, bytes]]

WORKERS = ("w1", "w2", "w3")
TENANTS = ("acme", "blue", "core")
#: How many of its jobs may be under way at once.
CAPS = {"core": 2}
SLOTS = 2
#: One tenant's jobs are counted by every limit, none of which it reaches.
LIMITED = "blue"
WIDE = Limits(tokens=Rate(count=10**9), concurrent_jobs=10**6, queued_jobs=10**6, queued_bytes=10**9)
BOUNDS = bounds_of(f"tenant/{LIMITED}", WIDE)


@dataclass
class Expected:
    """What the model knows of a job."""

    tenant: str
    idempotency_key: str
    state: State = State.QUEUED
    attempt: int = 0
    token: str = ""
    history: list[State] = field(default_factory=lambda: [State.QUEUED])

    def move(self, state: State) -> None:
        self.state = state
        self.history.append(state)


class Queue(RuleBasedStateMachine):
    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.store.client.flushall()
        self.expected: dict[str, Expected] = {}
        self.claims: list[Claim] = []
        self.tickets: list[tuple[str, int]] = []

    def _key(self, name: str) -> str:
        return f"{self.store.keys.namespace}:{name}"

    def _expire_now(self, index: str, job_id: str) -> None:
        self.store.client.zadd(self._key(index), {job_id: 1}, xx=True)

    def _sync_with_sweep(self) -> None:
        """A lost job may be requeued, or failed as poison; nothing else may have moved."""
        for job_id, job in self.expected.items():
            now = State(self._field(job_id, "state"))
            if job.state is State.RUNNING and now is State.QUEUED:
                job.move(State.QUEUED)
            if job.state is State.RUNNING and now is State.FAILED:
                assert int(self._field(job_id, "stalls")) >= 3
                job.move(State.FAILED)

    def _field(self, job_id: str, name: str) -> str:
        value = self.store.client.hget(self._key(f"job:{job_id}"), name)
        assert isinstance(value, bytes)
        return value.decode()

    def _members(self, name: str) -> list[str]:
        members = cast(set[bytes], self.store.client.smembers(self._key(name)))
        return [member.decode() for member in members]

    @initialize()
    def a_first_worker(self) -> None:
        join(self.store, SLOTS, "w1")

    @rule(tenant=st.sampled_from(TENANTS), job_class=st.sampled_from(JobClass), cost=st.integers(1, 500))
    def admit(self, tenant: str, job_class: JobClass, cost: int) -> None:
        request = JobRequest.model_validate({"prompt": "x", "class": job_class})
        key = ids.new_token()
        wanted = submission(
            tenant=tenant,
            request=request,
            cost_tokens=cost,
            idempotency_digest=key,
            fingerprint=key,
            max_running_jobs=CAPS.get(tenant),
            bounds=BOUNDS if tenant == LIMITED else NO_BOUNDS,
        )
        first = self.store.run(admission.admit(wanted))
        again = self.store.run(admission.admit(wanted))
        assert not first.is_replay
        assert again.is_replay
        self.expected[first.job_id] = Expected(tenant, key)

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def submit_again_with_the_same_key(self, data: st.DataObject) -> None:
        """A caller repeats itself at any later time, whatever has become of its job."""
        job_id = data.draw(st.sampled_from(sorted(self.expected)))
        job = self.expected[job_id]
        repeated = submission(
            tenant=job.tenant, idempotency_digest=job.idempotency_key, fingerprint=job.idempotency_key
        )
        found = self.store.run(admission.admit(repeated))
        assert (found.job_id, found.is_replay) == (job_id, True)

    @rule(worker=st.sampled_from(WORKERS))
    def join(self, worker: str) -> None:
        join(self.store, SLOTS, worker)

    @rule(worker=st.sampled_from(WORKERS))
    def leave(self, worker: str) -> None:
        self.store.run(calls.leave(worker, MODEL))

    @rule()
    def receive(self) -> None:
        entry = self.store.client.rpop(self.store.keys.ticket_list(MODEL))
        if isinstance(entry, bytes):
            self.tickets.append(parse_ticket(json.loads(entry)["headers"]["id"]))

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), worker=st.sampled_from(WORKERS))
    def claim(self, data: st.DataObject, worker: str) -> None:
        """Tickets are never used up: each may be presented again and again, by anyone."""
        self._claim(*data.draw(st.sampled_from(self.tickets)), worker)

    def _claim(self, job_id: str, seq: int, worker: str) -> None:
        job = self.expected[job_id]
        token = ids.new_token()
        call = calls.claim(job_id, seq, worker, token)
        try:
            claim = self.store.run(call)
        except (StaleTicket, WorkerBusy):
            return
        assert job.state is State.QUEUED
        assert claim.attempt == job.attempt + 1
        assert self.store.run(call).attempt == claim.attempt
        job.attempt, job.token = claim.attempt, token
        job.move(State.RUNNING)
        self.claims.append(claim)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def decline(self, data: st.DataObject) -> None:
        """By a worker that stops, of any ticket there ever was."""
        job_id, seq = data.draw(st.sampled_from(self.tickets))
        try:
            self.store.run(calls.decline(job_id, seq))
        except StaleTicket:
            return
        assert self.expected[job_id].state is State.QUEUED
        with pytest.raises(StaleTicket):
            self.store.run(calls.claim(job_id, seq, "w1", "declined"))

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), end=st.sampled_from([State.SUCCEEDED, State.FAILED]))
    def finish(self, data: st.DataObject, end: State) -> None:
        """By any claim there ever was: the living one, a zombie's, or one that has finished before."""
        claim = data.draw(st.sampled_from(self.claims))
        job = self.expected[claim.job_id]
        is_last = (claim.attempt, claim.token) == (job.attempt, job.token)
        may_end = job.state is State.RUNNING or (job.state is State.QUEUED and end is State.SUCCEEDED)
        call = calls.finish(claim, end, outcome_of(end))
        with suppress(Exception):
            self.store.run(call)
        if is_last and may_end:
            job.move(end)
            assert self.store.run(call) is end

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def renew_and_emit(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        job = self.expected[claim.job_id]
        is_last = (claim.attempt, claim.token) == (job.attempt, job.token)
        may_write = is_last and job.state not in TERMINAL
        chunk = Chunk(claim.job_id, claim.attempt, claim.token, len(self.claims), "{}")
        fenced = self.store.run(calls.emit([chunk], 60))
        assert (fenced == []) is may_write
        join(self.store, SLOTS, "w1")
        held = Holding(claim.job_id, claim.attempt, claim.token, 1)
        assert (self.store.run(calls.renew("w1", "{}", [held])) == []) is may_write

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), draw=st.sampled_from([None, 0.0, 0.5, 1.0]))
    def hand_back_or_try_again(self, data: st.DataObject, draw: float | None) -> None:
        """By any claim there ever was; without a draw it is a hand-back, which is not counted."""
        claim = data.draw(st.sampled_from(self.claims))
        job = self.expected[claim.job_id]
        is_last = (claim.attempt, claim.token) == (job.attempt, job.token)
        retries = int(self._field(claim.job_id, "retries"))
        may_go_back = is_last and job.state is State.RUNNING and (draw is None or retries < 3)

        def go_back() -> None:
            if draw is None:
                self.store.run(calls.release(claim))
            else:
                self.store.run(calls.retry(claim, base_s=60, pause_at_most_s=60, draw=draw))

        with suppress(Fenced, IllegalTransition, RetriesSpent):
            go_back()
        if may_go_back:
            job.move(State.QUEUED)
            go_back()
            counted = 0 if draw is None else 1
            assert int(self._field(claim.job_id, "retries")) == retries + counted

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def end_a_pause(self, data: st.DataObject) -> None:
        self._expire_now(f"delayed:{MODEL}", data.draw(st.sampled_from(sorted(self.expected))))
        self.sweep()

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.expected)))
        job = self.expected[job_id]
        try:
            self.store.run(calls.cancel(job_id, job.tenant))
        except JobNotCancellable:
            assert job.state in TERMINAL - {State.CANCELLED}
            return
        if job.state is not State.CANCELLED:
            job.move(State.CANCELLED)
        assert job.state is State.CANCELLED

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def lose_a_lease(self, data: st.DataObject) -> None:
        """A worker crashed or stalled: its lease runs out and somebody sweeps."""
        claim = data.draw(st.sampled_from(self.claims))
        self._expire_now(f"leases:{MODEL}", claim.job_id)
        self.sweep()

    @rule(worker=st.sampled_from(WORKERS), times=st.integers(1, 4))
    def crash(self, worker: str, times: int) -> None:
        """One of the next jobs kills its worker, which comes back every time."""
        for _ in range(times):
            join(self.store, SLOTS, worker)
            for _ in range(SLOTS):
                self.receive()
                if self.tickets:
                    self._claim(*self.tickets[-1], worker)
                self.suspects_are_kept_apart()
            self.bury(worker, is_crash=True)

    @rule(worker=st.sampled_from(WORKERS), is_crash=st.booleans())
    def bury(self, worker: str, is_crash: bool) -> None:
        """Its supervisor saw it die: all that it ran is back in its line, or is poison."""
        assert self.store.run(calls.bury(worker, is_crash=is_crash)) == 0
        assert not self.store.client.smembers(self._key(f"held:{worker}"))
        self._sync_with_sweep()
        assert not any(
            job.state is State.RUNNING and self._field(job_id, "worker") == worker
            for job_id, job in self.expected.items()
        )

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def lose_a_ticket(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.expected)))
        self._expire_now(f"tickets:{MODEL}", job_id)
        self.sweep()

    @rule()
    def sweep(self) -> None:
        self.store.run(calls.sweep())
        self._sync_with_sweep()
        self._no_offered_slot_is_idle_while_jobs_wait()

    def _offered(self) -> dict[str, int]:
        """Slots of the workers that offer some."""
        members = cast(dict[bytes, bytes], self.store.client.hgetall(self._key(f"members:{MODEL}")))
        return {worker.decode(): int(slots) for worker, slots in members.items() if int(slots)}

    def _no_offered_slot_is_idle_while_jobs_wait(self) -> None:
        client, offered = self.store.client, self._offered()
        taken = sum(len(self._members(f"held:{worker}")) for worker in offered)
        room = sum(offered.values()) - taken - client.zcard(self._key(f"tickets:{MODEL}"))
        assert room <= 0 or not client.exists(self._key(f"classes:{MODEL}"))

    @invariant()
    def every_job_is_where_its_state_says(self) -> None:
        client = self.store.client
        for job_id, job in self.expected.items():
            assert self._field(job_id, "state") == job.state
            assert int(self._field(job_id, "attempt")) == job.attempt
            job_class = self._field(job_id, "class")
            places = [
                client.zscore(self._key(name), job_id) is not None
                for name in (
                    f"line:{MODEL}:{job_class}:{job.tenant}",
                    f"tickets:{MODEL}",
                    f"delayed:{MODEL}",
                    f"apart:{MODEL}",
                    f"leases:{MODEL}",
                )
            ]
            if job.state is State.QUEUED:
                assert places[:4].count(True) == 1
                assert not places[4]
            elif job.state is State.RUNNING:
                assert places == [False, False, False, False, True]
            else:
                assert not any(places)

    @invariant()
    def the_race_holds_exactly_those_who_wait(self) -> None:
        client = self.store.client
        waiting = 0
        classes = set()
        for job_class in JobClass:
            tenants = set()
            for tenant in TENANTS:
                length = client.zcard(self._key(f"line:{MODEL}:{job_class}:{tenant}"))
                waiting += length
                tenants |= {tenant.encode()} if length else set()
            racing = set(client.zrange(self._key(f"tenants:{MODEL}:{job_class}"), 0, -1))
            assert racing | self._sitting_out(job_class) == tenants | self._sitting_out(job_class)
            assert racing <= tenants
            classes |= {job_class.encode()} if racing else set()
        assert set(client.zrange(self._key(f"classes:{MODEL}"), 0, -1)) == classes
        assert int(client.hget(self.store.keys.model(MODEL), "waiting") or 0) == waiting

    def _sitting_out(self, job_class: JobClass) -> set[bytes]:
        return {
            tenant.encode()
            for tenant in CAPS
            if f"{MODEL} {job_class}" in self._members(f"capped:{tenant}") and not self._has_room(tenant)
        }

    def _has_room(self, tenant: str) -> bool:
        return len(self._members(f"busy:{tenant}")) < CAPS[tenant]

    @invariant()
    def no_tenant_exceeds_its_cap(self) -> None:
        client = self.store.client
        for tenant, cap in CAPS.items():
            under_way = {
                job_id
                for job_id, job in self.expected.items()
                if job.tenant == tenant
                and (
                    job.state is State.RUNNING
                    or client.zscore(self._key(f"tickets:{MODEL}"), job_id) is not None
                )
            }
            assert set(self._members(f"busy:{tenant}")) == under_way
            assert len(under_way) <= cap

    @invariant()
    def limits_count_exactly_what_there_is(self) -> None:
        limited = {job_id: job for job_id, job in self.expected.items() if job.tenant == LIMITED}
        queued = {job_id for job_id, job in limited.items() if job.state is State.QUEUED}
        alive = {job_id for job_id, job in limited.items() if job.state not in TERMINAL}
        assert set(self._members(f"concurrent_jobs:tenant/{LIMITED}")) == alive
        assert set(self._members(f"queued_jobs:tenant/{LIMITED}")) == queued
        size_bytes = sum(int(self._field(job_id, "bytes")) for job_id in queued)
        assert int(self.store.client.get(self._key(f"queued_bytes:tenant/{LIMITED}")) or 0) == size_bytes

    @invariant()
    def a_worker_holds_exactly_what_it_runs(self) -> None:
        running: dict[str, set[bytes]] = {worker: set() for worker in WORKERS}
        for job_id, job in self.expected.items():
            if job.state is State.RUNNING:
                running[self._field(job_id, "worker")].add(job_id.encode())
        for worker, held in running.items():
            assert self.store.client.smembers(self._key(f"held:{worker}")) == held

    @invariant()
    def suspects_are_kept_apart(self) -> None:
        for worker in WORKERS:
            held = self._members(f"held:{worker}")
            stalls = [int(self._field(job_id, "stalls")) for job_id in held]
            assert sum(count >= 2 for count in stalls) <= 1
            assert len(held) == 1 or all(count < 3 for count in stalls)

    @invariant()
    def suspects_under_way_are_alive(self) -> None:
        for job_id in self._members(f"suspects:{MODEL}"):
            assert self.expected[job_id].state not in TERMINAL

    @invariant()
    def capacity_is_what_the_members_offer(self) -> None:
        client = self.store.client
        slots = [int(value) for value in client.hvals(self._key(f"members:{MODEL}"))]
        assert int(client.hget(self.store.keys.model(MODEL), "capacity") or 0) == sum(slots)

    @invariant()
    def who_runs_jobs_without_offering_slots_is_outside(self) -> None:
        offered = self._offered()
        holding = {worker for worker in WORKERS if self._members(f"held:{worker}")}
        outside = set(self._members(f"outside:{MODEL}"))
        assert outside & holding == holding - offered.keys()
        assert not outside & offered.keys()

    @invariant()
    def no_ticket_on_the_list_is_stale(self) -> None:
        client = self.store.client
        for entry in cast(list[bytes], client.lrange(self.store.keys.ticket_list(MODEL), 0, -1)):
            job_id, seq = parse_ticket(json.loads(entry)["headers"]["id"])
            assert int(self._field(job_id, "seq")) == seq
            assert client.zscore(self._key(f"tickets:{MODEL}"), job_id) is not None

    @invariant()
    def the_event_log_replays_to_the_states(self) -> None:
        logged: dict[str, list[State]] = {}
        for _, fields in cast(list[Entry], self.store.client.xrange(self.store.keys.events)):
            if b"job" in fields:
                logged.setdefault(fields[b"job"].decode(), []).append(State(fields[b"state"].decode()))
        for job_id, job in self.expected.items():
            assert [State.QUEUED, *logged.get(job_id, [])] == job.history
            assert all(step in TRANSITIONS for step in zip(job.history, job.history[1:], strict=False))

    def teardown(self) -> None:
        """Whatever happened, everything accepted ends once workers work."""
        join(self.store, 100, "last")
        finished: Counter[str] = Counter()
        # A sweep is bounded, so a long line takes several.
        for _ in range(len(self.expected)):
            self._lose_everything()
            self._work(finished)
        assert all(State(self._field(job_id, "state")) in TERMINAL for job_id in self.expected)
        assert not finished or max(finished.values()) == 1

    def _lose_everything(self) -> None:
        for job_id in self.expected:
            self._expire_now(f"leases:{MODEL}", job_id)
            self._expire_now(f"tickets:{MODEL}", job_id)
            self._expire_now(f"delayed:{MODEL}", job_id)
        self.store.client.delete(self.store.keys.ticket_list(MODEL))
        self.store.run(calls.sweep())

    def _work(self, finished: Counter[str]) -> None:
        while isinstance(entry := self.store.client.rpop(self.store.keys.ticket_list(MODEL)), bytes):
            job_id, seq = parse_ticket(json.loads(entry)["headers"]["id"])
            with suppress(StaleTicket, Fenced):
                claim = self.store.run(calls.claim(job_id, seq, "last", ids.new_token()))
                self.store.run(calls.finish(claim, State.SUCCEEDED, outcome_of(State.SUCCEEDED)))
                finished[job_id] += 1


@contextmanager
def driven_by(store: Store) -> Iterator[None]:
    Queue.store = store
    yield
    del Queue.store


@pytest.mark.timeout(300)
def test_no_order_of_events_breaks_the_queue(store: Store) -> None:
    with driven_by(store):
        run_state_machine_as_test(
            Queue,
            settings=settings(
                max_examples=60,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
