"""From what came back, or did not, to the error that the caller gets. Pure."""

from __future__ import annotations

import json
import math
from typing import Any

from quill.client.steps import Answer, Lost, Piece, Reply
from quill.errors import (
    BY_CODE,
    EngineError,
    Fault,
    InternalError,
    JobCancelled,
    JobExpired,
    JobFailed,
    OutcomeError,
    QuillError,
    RequestError,
    Unavailable,
)
from quill.job import Job
from quill.result import JobResult
from quill.states import State

#: Answers of the gateway, or of a proxy before it, that say "later".
_LATER = frozenset({408, 429, 502, 503, 504})


class GatewayUnreachable(Unavailable):
    """The gateway does not answer. Check its address, and that it runs."""

    code = "gateway_unreachable"


class UnexpectedAnswer(QuillError):
    """What answered does not speak Quill's protocol. Check the gateway's address."""

    code = "unexpected_answer"


_OUTCOMES: dict[State, type[OutcomeError]] = {
    State.FAILED: JobFailed,
    State.CANCELLED: JobCancelled,
    State.EXPIRED: JobExpired,
}


def retry_after_s(reply: Reply) -> float | None:
    """The pause that the answer asks for. Quill's gateway sends seconds; a date counts as none."""
    try:
        pause_s = float(reply.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return pause_s if math.isfinite(pause_s) and pause_s >= 0 else None


def may_retry(answer: Answer) -> bool:
    """Whether sending the same again can help: what the gateway says of it, else the status."""
    if not isinstance(answer, Reply):
        return True
    word = answer.headers.get("x-should-retry")
    return word == "true" if word in {"true", "false"} else answer.status in _LATER


def error_of(answer: Answer) -> QuillError:
    """The error that an answer other than a success stands for."""
    match answer:
        case Lost(reason):
            return GatewayUnreachable(reason)
        case Piece():
            return UnexpectedAnswer()
        case Reply():
            return _problem(answer)


def _problem(reply: Reply) -> QuillError:
    """From problem+json (RFC 9457), or from the status alone when a proxy answered."""
    problem = _object(reply.body)
    kind = BY_CODE.get(str(problem.get("code"))) or _by_status(reply.status)
    message = str(problem.get("detail") or problem.get("title") or f"The gateway answered {reply.status}.")
    if reply.status >= 500 and problem.get("request_id"):
        message += f" (request {problem['request_id']})"
    return kind(message, faults=_faults(problem.get("errors")), retry_after_s=retry_after_s(reply))


def _object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _faults(listed: object) -> tuple[Fault, ...]:
    entries = listed if isinstance(listed, list) else []
    return tuple(
        Fault(str(entry.get("pointer", "")), str(entry.get("detail", "")))
        for entry in entries
        if isinstance(entry, dict)
    )


def _by_status(status: int) -> type[QuillError]:
    if status in _LATER:
        return Unavailable
    if 400 <= status < 500:
        return RequestError
    return InternalError if status >= 500 else UnexpectedAnswer


def result_of(job: Job) -> JobResult:
    """The result of an ended job.

    Raises ``JobFailed``, ``JobCancelled`` or ``JobExpired`` with the job's id and fault; the error that the
    fault's code stands for is its ``__cause__``.
    """
    if job.state is State.SUCCEEDED and job.result is not None:
        return job.result
    if job.state not in _OUTCOMES:
        raise UnexpectedAnswer(f"Job {job.id} is {job.state} and has no result.")
    kind = _OUTCOMES[job.state]
    if job.error is None:
        raise kind(f"Job {job.id} is {job.state}.", job_id=job.id)
    cause = BY_CODE.get(job.error.code, EngineError)(job.error.message)
    message = f"Job {job.id} is {job.state}: {job.error.message} ({job.error.code})"
    raise kind(message, job_id=job.id, fault=job.error) from cause
