"""Jobs that kill their workers: who is suspected, who runs beside whom, and who is failed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from quill.states import State
from quill.store import calls
from quill.store.attempt import Claim
from quill.store.refusals import StaleTicket, WorkerBusy, WorkerKept
from quill.store.run import Store
from tests.integration.jobs import (
    MODEL,
    TENANT,
    admit,
    claim,
    join,
    outcome_of,
    seq_of,
    state_of,
    ticket,
)


@dataclass(frozen=True)
class Record:
    store: Store
    job_id: str

    def number(self, field: str) -> int:
        value = self.store.client.hget(f"{self.store.keys.namespace}:job:{self.job_id}", field)
        assert isinstance(value, bytes)
        return int(value)

    def mark(self, **counts: int) -> None:
        self.store.client.hset(f"{self.store.keys.namespace}:job:{self.job_id}", mapping=counts)  # type: ignore[arg-type]


def crash(store: Store, worker: str = "w", *, is_crash: bool = True) -> None:
    while store.run(calls.bury(worker, is_crash=is_crash)):
        pass


def end(store: Store, held: Claim) -> None:
    store.run(calls.finish(held, State.SUCCEEDED, outcome_of(State.SUCCEEDED)))


def capacity(store: Store) -> int:
    return int(store.client.hget(store.keys.model(MODEL), "capacity") or 0)


def suspects(store: Store, count: int, stalls: int = 2) -> list[str]:
    """Jobs that were aboard so many crashes, never alone, and are back in their line."""
    join(store, count + 1, "past")
    bystander, *job_ids = [admit(store) for _ in range(count + 1)]
    for _ in range(count + 1):
        claim(store, worker="past")
    for job_id in job_ids:
        Record(store, job_id).mark(stalls=stalls - 1)
    crash(store, "past")
    store.run(calls.cancel(bystander, TENANT))
    return job_ids


def seq_of_ticket(store: Store, job_id: str) -> int:
    """Of this job's ticket on the list, which it takes, with all before it."""
    while (found := ticket(store))[0] != job_id:
        pass
    return found[1]


@pytest.mark.parametrize(("is_crash", "counts"), [(True, (1, 0)), (False, (0, 1))])
def test_only_a_crash_that_was_seen_is_a_stall(store: Store, is_crash: bool, counts: tuple[int, int]) -> None:
    join(store, 2)
    job_ids = [admit(store), admit(store)]
    claim(store), claim(store)
    crash(store, is_crash=is_crash)
    for job_id in job_ids:
        record = Record(store, job_id)
        assert (record.number("stalls"), record.number("lost")) == counts


def test_a_job_that_is_alone_with_three_crashes_is_poison(store: Store) -> None:
    job_id = admit(store)
    for number in range(3):
        assert state_of(store, job_id) is State.QUEUED
        join(store)
        claim(store, token=f"token {number}")
        crash(store)
    job = store.run(calls.read(TENANT, [job_id]))[0]
    assert job is not None
    assert (job.state, job.attempt) == (State.FAILED, 3)
    assert job.error is not None
    assert job.error.code == "poison"


def test_neighbours_of_a_killer_outlive_it(store: Store) -> None:
    """The killer crashes whatever it is aboard of; the others run until they are alone, and then end."""
    killer, *innocent = [admit(store) for _ in range(4)]
    for number in range(40):
        join(store, 4, f"w{number}")
        aboard = []
        while store.client.llen(store.keys.ticket_list(MODEL)):
            try:
                aboard.append(claim(store, token=f"t{number}", worker=f"w{number}"))
            except (StaleTicket, WorkerBusy):
                break
        if killer in [held.job_id for held in aboard]:
            crash(store, f"w{number}")
        else:
            for held in aboard:
                end(store, held)
    assert state_of(store, killer) is State.FAILED
    assert {state_of(store, job_id) for job_id in innocent} == {State.SUCCEEDED}
    assert Record(store, killer).number("attempt") <= 5


def test_twenty_kills_from_outside_fail_nobody(store: Store) -> None:
    job_ids = [admit(store) for _ in range(5)]
    for number in range(20):
        join(store, 5)
        for _ in job_ids:
            claim(store, token=f"token {number}")
        crash(store, is_crash=False)
    assert {state_of(store, job_id) for job_id in job_ids} == {State.QUEUED}
    assert {Record(store, job_id).number("stalls") for job_id in job_ids} == {0}


def test_a_job_that_was_lost_more_often_is_suspected_from_then_on(store: Store) -> None:
    job_id = admit(store)
    Record(store, job_id).mark(lost=21)
    join(store)
    claim(store)
    crash(store, is_crash=False)
    assert (Record(store, job_id).number("stalls"), Record(store, job_id).number("lost")) == (1, 21)


def test_suspects_get_under_way_one_a_worker(store: Store) -> None:
    suspects(store, 3)
    join(store, 4)
    first = claim(store)
    assert store.client.llen(store.keys.ticket_list(MODEL)) == 0
    join(store, 4, "v")
    store.run(calls.sweep())
    assert store.client.llen(store.keys.ticket_list(MODEL)) == 1
    second = claim(store, worker="v")
    end(store, first)
    third = claim(store)
    assert len({first.job_id, second.job_id, third.job_id}) == 3


def test_a_worker_that_runs_a_suspect_hands_on_the_next_one(store: Store) -> None:
    suspects(store, 2)
    join(store, 2)
    join(store, 2, "v")
    store.run(calls.sweep())
    claim(store)
    job_id, seq = ticket(store)
    with pytest.raises(StaleTicket):
        store.run(calls.claim(job_id, seq, "w", "again"))
    store.client.zadd(f"{store.keys.namespace}:delayed:{MODEL}", {job_id: 1})
    store.run(calls.sweep())
    assert claim(store, worker="v").job_id == job_id


def test_innocent_jobs_run_beside_a_suspect(store: Store) -> None:
    suspects(store, 1)
    join(store, 2)
    claim(store)
    admit(store)
    assert claim(store).attempt == 1


def test_from_its_third_stall_on_a_job_has_its_worker_to_itself(store: Store) -> None:
    join(store, 3)
    innocent = [admit(store), admit(store)]
    neighbours = [claim(store), claim(store)]
    (suspect,) = suspects(store, 1, stalls=3)
    store.run(calls.leave("past", MODEL))
    seq = seq_of_ticket(store, suspect)
    with pytest.raises(WorkerBusy):
        store.run(calls.claim(suspect, seq, "w", "t"))
    assert capacity(store) == 0
    waiting = admit(store)
    for held in neighbours:
        end(store, held)
    store.run(calls.claim(suspect, seq, "w", "t"))
    assert store.client.llen(store.keys.ticket_list(MODEL)) == 0
    join(store, 3)
    assert capacity(store) == 0
    crash(store)
    assert state_of(store, suspect) is State.FAILED
    join(store, 3)
    assert claim(store).job_id == waiting
    assert {state_of(store, job_id) for job_id in innocent} == {State.SUCCEEDED}


def test_slots_are_back_when_the_lonely_job_ends(store: Store) -> None:
    suspects(store, 1, stalls=3)
    join(store, 3)
    held = claim(store)
    assert capacity(store) == 0
    end(store, held)
    assert capacity(store) == 3


def test_slots_are_back_when_the_job_that_waited_for_the_worker_is_cancelled(store: Store) -> None:
    join(store, 3)
    admit(store)
    claim(store)
    (suspect,) = suspects(store, 1, stalls=3)
    seq = seq_of_ticket(store, suspect)
    with pytest.raises(WorkerBusy):
        store.run(calls.claim(suspect, seq, "w", "t"))
    store.run(calls.cancel(suspect, TENANT))
    assert capacity(store) == 3


def test_a_worker_that_drains_keeps_its_slots_back_when_the_lonely_job_ends(store: Store) -> None:
    suspects(store, 1, stalls=3)
    join(store, 3)
    held = claim(store)
    store.run(calls.leave("w", MODEL))
    end(store, held)
    assert capacity(store) == 0


def test_whoever_is_swept_last_was_not_alone(store: Store) -> None:
    """A silent worker's leases are taken back some at a time; the last of thirty had neighbours too."""
    join(store, 30)
    job_ids = [admit(store) for _ in range(30)]
    held = [claim(store) for _ in job_ids]
    last = held[-1].job_id
    Record(store, last).mark(stalls=2)
    namespace = store.keys.namespace
    store.client.zadd(f"{namespace}:seen", {"w": 1})
    store.client.zadd(f"{namespace}:leases:{MODEL}", dict.fromkeys(job_ids, 1) | {last: 2})
    while state_of(store, last) is State.RUNNING:
        assert store.run(calls.sweep()).moved
    assert state_of(store, last) is State.QUEUED
    assert Record(store, last).number("stalls") == 3


def test_a_doubled_ticket_keeps_no_worker_waiting(store: Store) -> None:
    """The job waits for w to be idle when v takes its ticket's double."""
    join(store, 3)
    admit(store)
    claim(store)
    (suspect,) = suspects(store, 1, stalls=3)
    seq = seq_of_ticket(store, suspect)
    with pytest.raises(WorkerBusy):
        store.run(calls.claim(suspect, seq, "w", "t"))
    join(store, 3, "v")
    end(store, store.run(calls.claim(suspect, seq, "v", "t")))
    assert capacity(store) == 6


def test_a_worker_that_is_kept_is_told_to_ask_slowly(store: Store) -> None:
    (suspect,) = suspects(store, 1, stalls=3)
    join(store, 3)
    ticketed = admit(store)
    seq = seq_of(store, ticketed)
    store.run(calls.claim(suspect, seq_of_ticket(store, suspect), "w", "t"))
    with pytest.raises(WorkerKept):
        store.run(calls.claim(ticketed, seq, "w", "t"))
    assert state_of(store, ticketed) is State.QUEUED


def test_lonely_suspects_get_every_worker(store: Store) -> None:
    """A worker that is kept for one counts as much as one that is not."""
    job_ids = suspects(store, 4, stalls=3)
    for number in range(4):
        join(store, 4, f"w{number}")
        store.run(calls.sweep())
        claim(store, worker=f"w{number}")
    assert {state_of(store, job_id) for job_id in job_ids} == {State.RUNNING}


def test_who_boards_a_forgotten_worker_was_not_alone_on_it(store: Store) -> None:
    join(store, 3)
    job_ids = [admit(store) for _ in range(3)]
    claim(store)
    store.client.zadd(store.keys.seen, {"w": 1})
    store.run(calls.sweep())
    claim(store)
    (last,) = set(job_ids) - {job_id for job_id in job_ids if state_of(store, job_id) is State.RUNNING}
    join(store, 1, "v")
    claim(store)
    assert state_of(store, last) is State.RUNNING
    for job_id in job_ids:
        Record(store, job_id).mark(stalls=2)
    crash(store)
    assert {state_of(store, job_id) for job_id in job_ids} == {State.QUEUED}
