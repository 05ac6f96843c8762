"""Jobs: submit, look, list, cancel."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from gateway.admission import Admitted
from gateway.body import read_model
from gateway.contract import JOB_REQUEST_BODY
from gateway.departure import cancelled_on_departure
from gateway.routes.paging import After, Limit, page_of
from gateway.state import LOOK_AGAIN_S, Gateway, Here
from gateway.tenant import Tenant
from quill.job import Job, JobRequest
from quill.states import TERMINAL
from quill.store import calls
from quill.store.listing import Listing

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
    return accepted(await here.admission.admit(tenant, wanted, idempotency_key), response)


def accepted(admitted: Admitted, response: Response) -> Job:
    """202, or 200 for what was accepted before."""
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
async def page(tenant: Tenant, here: Here, limit: Limit = 20, after: After = None) -> dict[str, Any]:
    """Newest first; `after` takes the `next` of the page before."""
    return await page_of(here, tenant, Listing.OWNED, limit, after)


@router.delete("/jobs/{job_id}")
async def cancel(job_id: str, tenant: Tenant, here: Here) -> Job:
    await here.run(calls.cancel(job_id, tenant))
    return await here.job(tenant, job_id)
