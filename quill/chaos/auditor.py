"""Holds the store to what callers were told.

J1 every accepted job is known and ended; J2 once, by legal steps, and the end never changes; J3 the outputs
of attempts are never glued together; J4 attempts only grow; J5 nothing waits or runs that has ended; J6 what
a worker lost is back in its line when its lease is over; J7 what jobs reserved and did not use is given back,
once; J8 no tenant runs more at once than it may; J9 one idempotency key stands for one job; J12 nothing is
left that never expires; P6 nothing succeeds that was answered as cancelled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from quill.chaos.history import Change
from quill.chaos.ledger import Entry, outcome_of
from quill.chaos.nemesis import Blow
from quill.chaos.remains import Remains
from quill.job import Job
from quill.settings import LEASE_MS
from quill.states import TERMINAL, TRANSITIONS, State

#: From the loss of a worker to its jobs' return to the line: the lease that it had just renewed, and the next
#: sweep of somebody who shares this machine with everything else that chaos runs on it.
RETURN_AT_MOST_S = LEASE_MS / 1000 + 2.0


@dataclass(frozen=True, slots=True)
class Violation:
    invariant: str
    job_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class Evidence:
    entries: Sequence[Entry]
    changes: Sequence[Change]
    #: Every accepted job that the store still knows.
    jobs: dict[str, Job]
    remains: Remains
    blows: Sequence[Blow] = ()
    #: Tenant -> how many of its jobs may run at once.
    caps: Mapping[str, int] = field(default_factory=dict)


def audit(evidence: Evidence) -> list[Violation]:
    return [violation for check in _CHECKS for violation in check(evidence)]


def lost(evidence: Evidence) -> list[str]:
    return [job_id for entry in evidence.entries for job_id in entry.job_ids if job_id not in evidence.jobs]


def doubled(violations: Sequence[Violation]) -> set[str]:
    return {violation.job_id for violation in violations if violation.invariant in ("J2", "J9")}


def _every_job_has_ended(evidence: Evidence) -> Iterator[Violation]:
    for job_id in lost(evidence):
        yield Violation("J1", job_id, "accepted, but unknown")
    for job_id, job in evidence.jobs.items():
        if job.state not in TERMINAL:
            yield Violation("J1", job_id, f"still {job.state}")


def _every_job_ended_once(evidence: Evidence) -> Iterator[Violation]:
    steps: dict[str, list[str]] = defaultdict(list)
    for change in evidence.changes:
        steps[change.job_id].append(change.state)
    for job_id, states in steps.items():
        walked = [State(state) for state in states]
        if sum(state in TERMINAL for state in walked) > 1:
            yield Violation("J2", job_id, f"ended more than once: {' '.join(states)}")
        # Admission is no event: who is told of a job learns where it stands.
        for edge in pairwise((State.QUEUED, *walked)):
            if edge not in TRANSITIONS:
                yield Violation("J2", job_id, f"{edge[0]} to {edge[1]}")
    for entry in evidence.entries:
        if len(entry.ends) > 1:
            yield Violation("J2", entry.job_id or "", f"callers saw {len(entry.ends)} different ends")
        yield from _differs_from_what_was_seen(entry, evidence)


def _differs_from_what_was_seen(entry: Entry, evidence: Evidence) -> Iterator[Violation]:
    job = evidence.jobs.get(entry.job_id or "")
    if job and entry.ends and (job.state, outcome_of(job)) not in entry.ends:
        yield Violation("J2", job.id, f"is {job.state}, callers saw {sorted(end[0] for end in entry.ends)}")


def _outputs_are_whole(evidence: Evidence) -> Iterator[Violation]:
    answers: dict[tuple[str | None, int | None], str] = {}
    for entry in evidence.entries:
        job = evidence.jobs.get(entry.job_id or "")
        if job is None or job.result is None:
            continue
        for attempt, text in entry.streamed.items():
            if attempt == job.attempt and text != job.result.text:
                yield Violation("J3", job.id, "its stream and its result differ")
        if job.state is State.SUCCEEDED:
            asked = (entry.request.prompt, entry.request.max_tokens)
            if answers.setdefault(asked, job.result.text) != job.result.text:
                yield Violation("J3", job.id, "the same question has two answers")


def _attempts_only_grow(evidence: Evidence) -> Iterator[Violation]:
    latest: dict[str, int] = {}
    for change in evidence.changes:
        before = latest.get(change.job_id, 0)
        is_next = change.attempt == before + (change.state == State.RUNNING)
        if not is_next:
            yield Violation("J4", change.job_id, f"attempt {change.attempt} after {before}")
        latest[change.job_id] = change.attempt


def _nothing_is_left(evidence: Evidence) -> Iterator[Violation]:
    remains = evidence.remains
    for place, members in remains.places.items():
        for member in members:
            yield Violation("J5", member, f"still in {place}")
    for model, (waiting, capacity, offered) in remains.counts.items():
        if waiting:
            yield Violation("J5", "", f"{model} counts {waiting} waiting jobs")
        if capacity != offered:
            yield Violation("J5", "", f"{model} has capacity {capacity}, its workers offer {offered}")
    for key in remains.immortal:
        yield Violation("J12", "", f"{key} never expires")


def _tokens_are_settled_once(evidence: Evidence) -> Iterator[Violation]:
    charged, paid = evidence.remains.tokens_charged, evidence.remains.tokens_paid
    # A budget of a token a day drains too.
    if abs(charged - paid) > 1:
        yield Violation("J7", "", f"{charged:.1f} tokens are charged, jobs paid {paid:.0f}")


def _what_was_lost_is_back_in_time(evidence: Evidence) -> Iterator[Violation]:
    """Time in which the store was away, and the new term that every lease gets afterwards, do not count."""
    changed_at_s: dict[str, list[float]] = defaultdict(list)
    for change in evidence.changes:
        changed_at_s[change.job_id].append(change.at_ms / 1000)
    excused = [(blow.at_s, blow.ended_s + LEASE_MS / 1000) for blow in evidence.blows if blow.is_outage]
    for blow in evidence.blows:
        for job_id in blow.orphaned:
            # Without a later change it had ended by then, or J1 misses its end.
            back_s = next((at_s for at_s in changed_at_s[job_id] if at_s > blow.at_s), blow.at_s)
            took_s = back_s - blow.at_s - _covered_s(excused, blow.at_s, back_s)
            if took_s > RETURN_AT_MOST_S:
                yield Violation("J6", job_id, f"was back {took_s:.1f} s after {blow.name}")


def _covered_s(spans: Sequence[tuple[float, float]], begin_s: float, end_s: float) -> float:
    """How much of the time from ``begin_s`` to ``end_s`` the spans cover together."""
    covered_s = 0.0
    for since_s, until_s in sorted(spans):
        since_s, until_s = max(since_s, begin_s), min(until_s, end_s)
        if since_s < until_s:
            covered_s += until_s - since_s
            begin_s = until_s
    return covered_s


def _nobody_runs_more_than_its_cap(evidence: Evidence) -> Iterator[Violation]:
    owner = {job_id: entry.tenant for entry in evidence.entries for job_id in entry.job_ids}
    running: dict[str, set[str]] = defaultdict(set)
    for change in evidence.changes:
        tenant = owner.get(change.job_id, "")
        if change.state != State.RUNNING:
            running[tenant].discard(change.job_id)
            continue
        running[tenant].add(change.job_id)
        if len(running[tenant]) > evidence.caps.get(tenant, len(running[tenant])):
            yield Violation("J8", change.job_id, f"{len(running[tenant])} jobs of {tenant} run at once")


def _a_key_stands_for_one_job(evidence: Evidence) -> Iterator[Violation]:
    for entry in evidence.entries:
        if len(entry.job_ids) > 1:
            yield Violation("J9", entry.job_id or "", f"one key, jobs {sorted(entry.job_ids)}")
        if entry.was_confused:
            yield Violation("J9", entry.job_id or "", "another body under the same key was taken")


def _cancelled_is_cancelled(evidence: Evidence) -> Iterator[Violation]:
    for entry in evidence.entries:
        job = evidence.jobs.get(entry.job_id or "")
        if entry.was_cancelled and job and job.state is not State.CANCELLED:
            yield Violation("P6", job.id, f"was answered as cancelled, is {job.state}")


_CHECKS = (
    _every_job_has_ended,
    _every_job_ended_once,
    _outputs_are_whole,
    _attempts_only_grow,
    _nothing_is_left,
    _tokens_are_settled_once,
    _what_was_lost_is_back_in_time,
    _nobody_runs_more_than_its_cap,
    _a_key_stands_for_one_job,
    _cancelled_is_cancelled,
)
