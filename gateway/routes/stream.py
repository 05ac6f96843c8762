"""A job's events as server-sent events: states, output as it grows, and the end."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from gateway.caller import Reader, check_scope, direct
from gateway.departure import PatientStream, cancelled_on_departure
from gateway.events import Bell, spread
from gateway.patience import patience
from gateway.principals import Principal
from gateway.state import LOOK_AGAIN_S, Gateway, Here
from quill.errors import QuillError
from quill.job import Job
from quill.states import TERMINAL
from quill.tenancy.records import Scope

router = APIRouter(prefix="/v1", tags=["jobs"])

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
#: An entry's two numbers have 64 bits; those of 19 digits fit, and no stream comes so far.
_EVENT_ID = re.compile(r"(\d{1,9})\.(\d{1,19}-\d{1,19})", re.ASCII)
_BATCH = 500


@dataclass(slots=True)
class Place:
    """How far a reader has come: an attempt and the last entry of its output stream.

    An id that is none of ours is the beginning.
    """

    attempt: int = 0
    entry: str = "0-0"

    @classmethod
    def of(cls, last_event_id: str | None) -> Place:
        match = _EVENT_ID.fullmatch(last_event_id or "")
        return cls(int(match[1]), match[2]) if match else cls()


def sse(event: str, data: Any, event_id: str | None = None) -> bytes:
    lines = [f"event: {event}", f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}"]
    if event_id:
        lines.insert(0, f"id: {event_id}")
    return ("\n".join(lines) + "\n\n").encode()


def _status(job: Job) -> dict[str, Any]:
    return {"id": job.id, "state": job.state, "attempt": job.attempt, "position": job.position}


async def _output(here: Gateway, job: Job, place: Place) -> AsyncIterator[bytes]:
    """What the job's current attempt has written since ``place``, which moves along."""
    if place.attempt not in (job.attempt, 0):
        yield sse("restart", {"attempt": job.attempt})
    if place.attempt != job.attempt:
        place.attempt, place.entry = job.attempt, "0-0"
    stream = here.store.keys.output(job.id, job.attempt)
    while True:
        async with patience(here.settings):
            entries: Any = await here.store.client.xrange(stream, f"({place.entry}", "+", count=_BATCH)
        for entry_id, fields in entries:
            place.entry = entry_id.decode()
            data = {"attempt": job.attempt} | json.loads(fields[b"chunk"])
            yield sse("delta", data, f"{job.attempt}.{place.entry}")
        if len(entries) < _BATCH:
            return


async def _events(here: Gateway, tenant: str, job: Job, place: Place, bell: Bell) -> AsyncIterator[bytes]:
    told: dict[str, Any] | None = None
    looked_s = time.monotonic()
    while True:
        is_over = job.state in TERMINAL
        if (status := _status(job)) != told:
            told = status
            yield sse("status", status)
        if job.stream and job.attempt:
            async for event in _output(here, job, place):
                yield event
        if is_over:
            yield sse("done", job.model_dump(mode="json", by_alias=True))
            return
        while not await bell.wait(spread(here.settings.keep_alive_s)):
            # Whether or not it is time to look: no wait ends without a word.
            yield b": keep-alive\n\n"
            if time.monotonic() - looked_s > LOOK_AGAIN_S:
                break
        looked_s = time.monotonic()
        job = await here.job(tenant, job.id)


async def _listen(here: Gateway, tenant: str, first: Job, place: Place) -> AsyncIterator[bytes]:
    with here.events.listening(first.id) as bell:
        try:
            job = await here.job(tenant, first.id)
            async for event in _events(here, tenant, job, place, bell):
                yield event
        except QuillError as error:
            # The answer has begun, so its status cannot say it: the client reconnects and reads on.
            yield sse("error", {"code": error.code, "message": error.message})


async def _attended(
    here: Gateway, request: Request, tenant: str, job_id: str, body: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    async with cancelled_on_departure(here, request, tenant, job_id):
        async for event in body:
            yield event


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse)
async def events(
    request: Request,
    job_id: str,
    caller: Reader,
    here: Here,
    last_event_id: Annotated[str | None, Header()] = None,
    cancel_on_disconnect: bool = False,
) -> StreamingResponse:
    tenant = caller.tenant
    if cancel_on_disconnect:
        check_scope(caller, Scope.CANCEL)
    body = await _followed(here, tenant, job_id, last_event_id)
    if cancel_on_disconnect:
        attended = _attended(here, request, tenant, job_id, body)
        return PatientStream(attended, media_type="text/event-stream", headers=_HEADERS)
    return StreamingResponse(body, media_type="text/event-stream", headers=_HEADERS)


@direct("/v1/jobs/{job_id}/events", Scope.READ)
async def follow(request: Request, caller: Principal, here: Gateway) -> Response:
    """As ``events`` for who may come back."""
    last_event_id = request.headers.get("last-event-id")
    body = await _followed(here, caller.tenant, request.path_params["job_id"], last_event_id)
    return StreamingResponse(body, media_type="text/event-stream", headers=_HEADERS)


async def _followed(
    here: Gateway, tenant: str, job_id: str, last_event_id: str | None
) -> AsyncIterator[bytes]:
    """Raises ``JobNotFound`` now, and not when the answer has begun."""
    job = await here.job(tenant, job_id)
    return _listen(here, tenant, job, Place.of(last_event_id))
