from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from quill.client import GatewayUnreachable, UnexpectedAnswer, result_of
from quill.client.core import parse_job, parse_object
from quill.client.failures import error_of
from quill.client.steps import Lost, Reply
from quill.errors import (
    BY_CODE,
    EngineError,
    Fault,
    InternalError,
    InvalidRequest,
    JobCancelled,
    JobExpired,
    JobFailed,
    OutcomeError,
    PoisonJob,
    QuillError,
    RequestError,
    Unavailable,
)
from quill.job import Job, JobFault
from tests.clients import job_json, succeeded_json


def reply(body: object, status: int = 400, **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_code_on_the_wire_is_its_error_again(code: str) -> None:
    kind = BY_CODE[code]
    body = {"code": code, "title": "T", "detail": "Do this.", "errors": [{"pointer": "#/x", "detail": "no"}]}
    error = error_of(reply(body, kind.status, retry_after="3"))
    assert type(error) is kind
    assert error.message == "Do this."
    assert error.faults == (Fault("#/x", "no"),)
    assert error.retry_after_s == 3.0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, UnexpectedAnswer),
        (400, RequestError),
        (401, RequestError),
        (404, RequestError),
        (408, Unavailable),
        (429, Unavailable),
        (500, InternalError),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
        (507, InternalError),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff", b'{"code": "of_tomorrow"}'])
def test_an_answer_without_a_known_code_is_named_by_its_status(
    status: int, kind: type[QuillError], body: bytes
) -> None:
    error = error_of(reply(body, status))
    assert type(error) is kind
    assert str(status) in error.message


@pytest.mark.parametrize("errors", [None, "x", {}, [1, None], [{}]])
def test_strange_faults_do_not_hide_the_error(errors: object) -> None:
    error = error_of(reply({"code": "invalid_request", "detail": "Bad.", "errors": errors}))
    assert type(error) is InvalidRequest


def test_a_fault_of_the_service_names_the_request_for_its_logs() -> None:
    error = error_of(reply({"code": "internal_error", "detail": "Oh.", "request_id": "r7"}, 500))
    assert str(error) == "Oh. (request r7)"


def test_no_answer_means_that_the_gateway_is_unreachable() -> None:
    error = error_of(Lost("The gateway at http://x cannot be reached: refused"))
    assert type(error) is GatewayUnreachable
    assert error.retryable
    assert "http://x" in str(error)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b"\xff", b'{"id": 1}'])
def test_a_success_that_is_no_job_is_an_unexpected_answer(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        parse_job(reply(body, 200))


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"\xff"])
def test_a_success_that_is_no_object_is_an_unexpected_answer(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        parse_object(reply(body, 200))


def test_fields_of_a_later_gateway_are_ignored() -> None:
    assert parse_job(reply(job_json(colour="blue"), 202)).id == "job_1"


def ended(**fields: Any) -> Job:
    return Job.model_validate_json(json.dumps(fields))


def test_the_result_of_a_job_that_succeeded_is_given() -> None:
    assert result_of(ended(**succeeded_json(text="seven"))).text == "seven"


@pytest.mark.parametrize(
    ("state", "kind"), [("failed", JobFailed), ("cancelled", JobCancelled), ("expired", JobExpired)]
)
def test_every_other_end_of_a_job_is_an_error_of_its_own(state: str, kind: type[OutcomeError]) -> None:
    fault = {"code": "poison", "message": "Workers crashed."}
    with pytest.raises(kind, match=r"job_1 is .*Workers crashed\. \(poison\)") as caught:
        result_of(ended(**job_json(state=state, error=fault)))
    assert caught.value.job_id == "job_1"
    assert caught.value.fault == JobFault(code="poison", message="Workers crashed.")
    assert type(caught.value.__cause__) is PoisonJob


def test_an_unknown_fault_keeps_its_words() -> None:
    fault = {"code": "of_tomorrow", "message": "New trouble."}
    with pytest.raises(JobFailed, match=r"New trouble\. \(of_tomorrow\)") as caught:
        result_of(ended(**job_json(state="failed", error=fault)))
    assert type(caught.value.__cause__) is EngineError


def test_a_job_may_have_ended_without_a_word() -> None:
    with pytest.raises(JobFailed, match="job_1 is failed") as caught:
        result_of(ended(**job_json(state="failed")))
    assert (caught.value.job_id, caught.value.fault) == ("job_1", None)


def test_an_outcome_crosses_to_another_process_whole() -> None:
    fault = JobFault(code="poison", message="Workers crashed.")
    sent = JobFailed("Job job_1 is failed.", job_id="job_1", fault=fault)
    received = pickle.loads(pickle.dumps(sent))
    assert (str(received), received.job_id, received.fault) == (str(sent), "job_1", fault)


def test_a_job_under_way_has_no_result() -> None:
    with pytest.raises(UnexpectedAnswer, match="running"):
        result_of(ended(**job_json(state="running")))
