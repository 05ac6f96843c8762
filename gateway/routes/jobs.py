"""Jobs: submit, look, list, cancel."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from gateway.body import read_model
from gateway.contract import JOB_REQUEST_BODY
from gateway.departure import cancelled_on_departure
from gateway.problems import pointer
from gateway.state import LOOK_AGAIN_S, Gateway, Here
from gateway.tenant import Tenant
from quill.errors import Fault, InvalidRequest
from quill.job import Job, JobRequest
from quill.states import TERMINAL
from quill.store import calls

router = APIRouter(prefix="/v1", tags=["jobs"])


@router.post("/jobs", status_code=202, response_model=Job, openapi_extra=JOB_REQUEST_BODY)
async def submit(
    request: Request,
    response: Response,
    tenant: Tenant,
    here: Here,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Job:
    wanted = await read_model(request, JobRequest, here.settings.max_body_bytes)
    admitted = await here.admission.admit(tenant, wanted, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{admitted.job.id}"
    if admitted.is_replay:
        response.status_code = 200
        response.headers["Idempotent-Replayed"] = "true"
    return admitted.job


async def _wait(here: Gateway, tenant: str, job_id: str, wait_s: float) -> Job:
    deadline_s = time.monotonic() + wait_s
    with here.events.listening(job_id) as bell:
        while True:
            job = await here.job(tenant, job_id)
            left_s = deadline_s - time.monotonic()
            if job.state in TERMINAL or left_s <= 0:
                return job
            await bell.wait(min(left_s, LOOK_AGAIN_S))


@router.get("/jobs/{job_id}")
async def look(
    request: Request,
    job_id: str,
    tenant: Tenant,
    here: Here,
    wait: Annotated[float, Query(ge=0, le=86_400)] = 0.0,
    cancel_on_disconnect: bool = False,
) -> Job:
    if not wait:
        return await here.job(tenant, job_id)
    wait_s = min(wait, here.settings.max_wait_s)
    if not cancel_on_disconnect:
        return await _wait(here, tenant, job_id, wait_s)
    async with cancelled_on_departure(here, request, tenant, job_id):
        return await _wait(here, tenant, job_id, wait_s)


@router.get("/jobs")
async def page(
    tenant: Tenant,
    here: Here,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=32)] = None,
) -> dict[str, Any]:
    """Newest first; `after` takes the `next` of the page before."""
    if after is not None and not (after.isascii() and after.isdecimal()):
        raise InvalidRequest(faults=(Fault(pointer(["query", "after"]), "must be the `next` of a page"),))
    entries = await here.run(calls.page(tenant, int(after) if after else None, limit + 1))
    shown = entries[:limit]
    jobs = await here.run(calls.read(tenant, [entry.job_id for entry in shown])) if shown else []
    has_more = len(entries) > limit
    return {
        "object": "list",
        "data": [job.model_dump(mode="json", by_alias=True) for job in jobs if job],
        "has_more": has_more,
        "next": str(shown[-1].admitted_us) if has_more else None,
    }


@router.delete("/jobs/{job_id}")
async def cancel(job_id: str, tenant: Tenant, here: Here) -> Job:
    await here.run(calls.cancel(job_id, tenant))
    return await here.job(tenant, job_id)
