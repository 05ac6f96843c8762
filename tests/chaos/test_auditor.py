"""The auditor finds what it is there to find: each invariant, broken by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quill.chaos.auditor import Evidence, Violation, audit, doubled, lost
from quill.chaos.history import Change
from quill.chaos.ledger import Entry, outcome_of
from quill.chaos.remains import Remains
from quill.job import Job, JobRequest, JobResult, Usage
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
    changes = [
        change for found in jobs for change in history("queued", "running", "succeeded", job_id=found.id)
    ]
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
        ("queued", "running", "succeeded", "succeeded"),
        ("queued", "running", "succeeded", "failed"),
        ("queued", "running", "cancelled", "queued"),
        ("queued", "running", "running"),
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
    again = history("queued", "running", "queued", "running", "succeeded")
    found = replace(evidence(job(attempt=2)), entries=[seen], changes=again)
    assert broken(found) == []


def test_two_answers_to_one_question_are_found() -> None:
    assert broken(evidence(job("a"), job("b", text="other"))) == ["J3"]


@pytest.mark.parametrize("attempts", [(0, 2, 2), (0, 1, 2), (0, 1, 0)])
def test_an_attempt_that_jumps_is_found(attempts: tuple[int, int, int]) -> None:
    steps = zip(("queued", "running", "succeeded"), attempts, strict=True)
    changes = [Change(at_ms, "a", state, attempt) for at_ms, (state, attempt) in enumerate(steps)]
    assert "J4" in broken(replace(evidence(job()), changes=changes))


@pytest.mark.parametrize(
    ("remains", "invariant"),
    [
        (Remains({"leases:m": ["a"]}, {}, []), "J5"),
        (Remains({}, {"m": (1, 8, 8)}, []), "J5"),
        (Remains({}, {"m": (0, 8, 16)}, []), "J5"),
        (Remains({}, {}, ["job:a"]), "J12"),
    ],
)
def test_what_is_left_behind_is_found(remains: Remains, invariant: str) -> None:
    assert broken(replace(evidence(job()), remains=remains)) == [invariant]


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
