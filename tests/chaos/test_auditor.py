"""The auditor finds what it is there to find: each invariant, broken by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quill.chaos.auditor import Evidence, Violation, audit, doubled, lost
from quill.chaos.history import Change
from quill.chaos.ledger import Entry, outcome_of
from quill.chaos.nemesis import Blow
from quill.chaos.remains import Remains
from quill.job import Job, JobRequest
from quill.result import JobResult, Usage
from quill.states import State

QUESTION = JobRequest(prompt="question", max_tokens=5)
CLEAN = Remains({}, {}, [])


def job(job_id: str = "a", state: State = State.SUCCEEDED, text: str = "w1 w2", attempt: int = 1) -> Job:
    result = JobResult(text=text, finish_reason="length", usage=Usage(prompt_tokens=1, completion_tokens=2))
    return Job.model_validate(
        {
            "id": job_id,
            "state": state,
            "model": "m",
            "class": "standard",
            "attempt": attempt,
            "created_at": 1.0,
            "result": result if state is State.SUCCEEDED else None,
        }
    )


def entry(*jobs: Job, key: str = "k") -> Entry:
    return Entry(
        "t", key, QUESTION, {found.id for found in jobs}, {(found.state, outcome_of(found)) for found in jobs}
    )


def history(*states: str, job_id: str = "a") -> list[Change]:
    changes, attempt = [], 0
    for at_ms, state in enumerate(states):
        attempt += state == "running"
        changes.append(Change(at_ms, job_id, state, attempt))
    return changes


def evidence(*jobs: Job) -> Evidence:
    """Of a run in which nothing went wrong."""
    changes = [change for found in jobs for change in history("running", "succeeded", job_id=found.id)]
    entries = [entry(found, key=found.id) for found in jobs]
    return Evidence(entries, changes, {found.id: found for found in jobs}, CLEAN)


def broken(found: Evidence) -> list[str]:
    return [violation.invariant for violation in audit(found)]


def test_a_good_run_has_no_violation() -> None:
    found = evidence(job("a"), job("b"))
    assert (audit(found), lost(found)) == ([], [])


def test_an_accepted_job_that_the_store_does_not_know_is_lost() -> None:
    found = replace(evidence(job()), jobs={})
    assert lost(found) == ["a"]
    assert "J1" in broken(found)


def test_a_job_that_never_ends_is_found() -> None:
    waiting = job(state=State.QUEUED)
    found = replace(evidence(), entries=[Entry("t", "k", QUESTION, {"a"})], jobs={"a": waiting})
    assert broken(found) == ["J1"]


@pytest.mark.parametrize(
    "states",
    [
        ("running", "succeeded", "succeeded"),
        ("running", "succeeded", "failed"),
        ("running", "cancelled", "queued"),
        ("running", "running"),
        ("queued", "running", "succeeded"),
    ],
)
def test_a_step_that_the_table_does_not_have_is_found(states: tuple[str, ...]) -> None:
    found = replace(evidence(job()), changes=history(*states))
    assert "J2" in broken(found)
    assert doubled(audit(found)) == {"a"}


def test_an_end_that_changed_is_found() -> None:
    found = evidence(job())
    later = replace(found, jobs={"a": job(text="w1 w3")})
    assert broken(later) == ["J2"]


def test_two_ends_that_callers_saw_are_found() -> None:
    seen = entry(job(), job(text="other"))
    found = replace(evidence(job()), entries=[seen])
    assert broken(found) == ["J2"]


def test_glued_output_is_found() -> None:
    seen = entry(job())
    seen.streamed = {1: "w1 w1 w2"}
    assert broken(replace(evidence(job()), entries=[seen])) == ["J3"]


def test_output_of_an_attempt_that_lost_may_differ() -> None:
    seen = entry(job(attempt=2))
    seen.streamed = {1: "w1"}
    again = history("running", "queued", "running", "succeeded")
    found = replace(evidence(job(attempt=2)), entries=[seen], changes=again)
    assert broken(found) == []


def test_two_answers_to_one_question_are_found() -> None:
    assert broken(evidence(job("a"), job("b", text="other"))) == ["J3"]


@pytest.mark.parametrize("attempts", [(2, 2), (1, 2), (1, 0)])
def test_an_attempt_that_jumps_is_found(attempts: tuple[int, int, int]) -> None:
    steps = zip(("running", "succeeded"), attempts, strict=True)
    changes = [Change(at_ms, "a", state, attempt) for at_ms, (state, attempt) in enumerate(steps)]
    assert "J4" in broken(replace(evidence(job()), changes=changes))


@pytest.mark.parametrize(
    ("remains", "invariant"),
    [
        (Remains({"leases:m": ["a"]}, {}, []), "J5"),
        (Remains({}, {"m": (1, 8, 8)}, []), "J5"),
        (Remains({}, {"m": (0, 8, 16)}, []), "J5"),
        (Remains({}, {}, ["job:a"]), "J12"),
        (Remains({}, {}, [], tokens_charged=130.0, tokens_paid=100), "J7"),
        (Remains({}, {}, [], tokens_charged=0, tokens_paid=100), "J7"),
    ],
)
def test_what_is_left_behind_is_found(remains: Remains, invariant: str) -> None:
    assert broken(replace(evidence(job()), remains=remains)) == [invariant]


def returned_after(back_s: float, *outages: tuple[float, float]) -> Evidence:
    """A job that lost its worker at 100 s, with the store away from and to the given times."""
    at_ms = (2_000, round((100 + back_s) * 1000), 200_000, 201_000)
    states = ("running", "queued", "running", "succeeded")
    attempts = (1, 1, 2, 2)
    changes = [Change(at, "a", state, n) for at, state, n in zip(at_ms, states, attempts, strict=True)]
    lost_worker = Blow("worker-killed", 100.0, 101.0, ("a",), is_outage=False)
    away = [Blow("store-killed", since_s, until_s, (), is_outage=True) for since_s, until_s in outages]
    found = evidence(job(attempt=2))
    return replace(found, changes=changes, blows=[lost_worker, *away])


@pytest.mark.parametrize(
    ("back_s", "outages", "is_late"),
    [
        (9.5, (), False),
        (11.0, (), True),
        (11.0, ((50.0, 60.0),), True),
        (22.0, ((102.0, 106.0),), False),
        (23.0, ((102.0, 106.0),), True),
        # Two that overlap with the terms they spare count once.
        (26.0, ((102.0, 106.0), (108.0, 110.0)), False),
        (27.0, ((102.0, 106.0), (108.0, 110.0)), True),
    ],
)
def test_a_lost_job_that_comes_back_late_is_found(
    back_s: float, outages: tuple[tuple[float, float], ...], is_late: bool
) -> None:
    assert broken(returned_after(back_s, *outages)) == (["J6"] if is_late else [])


@pytest.mark.parametrize(("cap", "invariants"), [(2, []), (1, ["J8"])])
def test_more_running_jobs_of_a_tenant_than_it_may_have_are_found(cap: int, invariants: list[str]) -> None:
    one, other = (
        history("running", "succeeded"),
        history("running", "succeeded", job_id="b"),
    )
    interleaved = [change for pair in zip(one, other, strict=True) for change in pair]
    found = replace(evidence(job("a"), job("b")), changes=interleaved, caps={"t": cap})
    assert broken(found) == invariants


def test_two_jobs_of_one_key_are_found() -> None:
    found = evidence(job("a"), job("b"))
    twice = Entry("t", "k", QUESTION, {"a", "b"})
    assert "J9" in broken(replace(found, entries=[twice]))


def test_a_key_that_took_another_body_is_found() -> None:
    confused = entry(job())
    confused.was_confused = True
    assert broken(replace(evidence(job()), entries=[confused])) == ["J9"]


def test_a_success_after_a_cancel_was_answered_is_found() -> None:
    cancelled = Entry("t", "k", QUESTION, {"a"}, was_cancelled=True)
    assert broken(replace(evidence(job()), entries=[cancelled])) == ["P6"]


def test_only_doubles_count_as_doubled() -> None:
    assert doubled([Violation("J5", "a", ""), Violation("J9", "b", "")]) == {"b"}
