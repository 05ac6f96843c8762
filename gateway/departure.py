"""Callers that wait inline for a job which nobody else wants: when they go away, it is cancelled for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.state import Gateway
from quill.errors import QuillError
from quill.store import calls

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def cancelled_on_departure(
    here: Gateway, request: Request, tenant: str, job_id: str
) -> AsyncIterator[None]:
    """Cancels the job if the caller's connection ends inside the block; the block then sees it end.

    A gateway that stops cancels nothing: its callers come back and wait on.
    """
    watch = asyncio.create_task(_watch(here, request, tenant, job_id))
    try:
        yield
    finally:
        watch.cancel()


async def _watch(here: Gateway, request: Request, tenant: str, job_id: str) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    try:
        await here.run(calls.cancel(job_id, tenant))
    except QuillError as error:
        _log.info("not cancelled", action="departure", job_id=job_id, reason=error.code)
    else:
        _log.info("cancelled for a caller that left", action="departure", job_id=job_id)


class PatientStream(StreamingResponse):
    """Goes on when its caller has left, until its body ends: by then the job is cancelled."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.stream_response(send)
