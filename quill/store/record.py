"""From a job's stored fields to the job that its owner sees, and how its fault is stored."""

from __future__ import annotations

import json

from pydantic import ValidationError

from quill.errors import QuillError, RequestUnreadable
from quill.job import Job, JobClass, JobFault, JobRequest, Shortfall
from quill.result import JobResult
from quill.states import State
from quill.store.call import Reply


def _seconds(value: bytes | None, unit_per_s: int) -> float | None:
    return None if value is None else int(value) / unit_per_s


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _ending(state: State, outcome: bytes | None) -> tuple[JobResult | None, JobFault | None]:
    if outcome is None:
        return None, None
    if state is State.SUCCEEDED:
        return JobResult.model_validate_json(outcome), None
    shortfall = Shortfall.model_validate_json(outcome)
    return shortfall.partial, JobFault(code=shortfall.code, message=shortfall.message)


def job_of(job_id: str, entry: Reply) -> Job:
    """``entry`` is [flat hash fields, request JSON, outcome JSON, position, probable start in ms]; all
    but the first may be ``None``.
    """
    flat, _, outcome, position, starts_ms = entry
    fields: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
    state = State(fields[b"state"].decode())
    result, error = _ending(state, outcome)
    return Job(
        id=job_id,
        state=state,
        model=fields[b"model"].decode(),
        job_class=JobClass(fields[b"class"].decode()),
        stream=fields[b"stream"] == b"1",
        attempt=int(fields[b"attempt"]),
        retries=int(fields.get(b"retries", 0)),
        position=position,
        estimated_start_at=_seconds(starts_ms, 1000),
        created_at=int(fields[b"created"]) / 1_000_000,
        started_at=_seconds(fields.get(b"started"), 1000),
        finished_at=_seconds(fields.get(b"finished"), 1000),
        produced_tokens=int(fields.get(b"produced", 0)),
        result=result,
        error=error,
        replay_of=_text(fields.get(b"replay_of")),
        replayed_as=_text(fields.get(b"replayed_as")),
        metadata=json.loads(fields.get(b"metadata", b"{}")),
    )


def request_of(stored: bytes) -> JobRequest:
    """Raises ``RequestUnreadable``: a field that is not known here may change what the caller wants."""
    try:
        return JobRequest.model_validate_json(stored)
    except ValidationError:
        raise RequestUnreadable from None


def fault_json(error: type[QuillError] | QuillError, partial: JobResult | None = None) -> str:
    """A job's error as it is stored, from one of our errors, with what the job had produced."""
    instance = error() if isinstance(error, type) else error
    shortfall = Shortfall(code=instance.code, message=instance.message, partial=partial)
    return shortfall.model_dump_json(exclude_none=True)
