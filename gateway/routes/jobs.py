"""Jobs: submit, look, list, cancel."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from gateway import ratelimit
from gateway.admission import Admitted
from gateway.body import read_model
from gateway.caller import Canceller, Reader, check_scope, direct
from gateway.contract import JOB_REQUEST_BODY
from gateway.departure import cancelled_on_departure
from gateway.events import spread
from gateway.identity import identity_of
from gateway.principals import Principal
from gateway.routes.paging import After, Limit, page_of
from gateway.state import LOOK_AGAIN_S, Gateway, Here
from quill.job import Job, JobRequest
from quill.states import TERMINAL
from quill.store import calls
from quill.store.listing import Listing
from quill.tenancy.records import Scope

router = APIRouter(prefix="/v1", tags=["jobs"])


#: RFC 7240; other preferences are not ours.
_PREFER_WAIT = re.compile(r"(?:^|[,;])\s*wait=(\d{1,5})\s*(?:$|[,;])", re.ASCII)
#: Pause that a poll is told of, at least and at most.
_POLL_AFTER_S = (1, 30)


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": description}


_SUBMIT_HEADERS = {
    "parameters": [
        _header("Idempotency-Key", "The same key and body are the same job, as long as that can be read."),
        _header("Prefer", "`wait=SECONDS`: answered when the job has ended, or after that time."),
    ]
}


@direct("/v1/jobs", Scope.SUBMIT)
async def submit(request: Request, caller: Principal, here: Gateway) -> Response:
    """202 with the job; 200 for one that was accepted before."""
    wanted = await read_model(request, JobRequest, here.settings.max_body_bytes)
    given = {name: value.decode("latin-1") for name, value in request.scope["headers"]}
    key, tries = given.get(b"idempotency-key"), given.get(b"x-stainless-retry-count")
    identity = identity_of(caller.tenant, key, wanted, tries)
    admitted = await here.admission.admit(caller, wanted, identity)
    waits = _PREFER_WAIT.search(given.get(b"prefer", ""))
    if waits is None:
        return accepted(admitted)
    wait_s = min(int(waits[1]), here.settings.max_wait_s)
    job = await _wait(here, caller.tenant, admitted.job.id, wait_s)
    headers = headers_of(admitted) | {"Preference-Applied": f"wait={int(wait_s)}"}
    return job_response(job, 200 if job.state in TERMINAL else 202, headers)


router.add_api_route(
    "/jobs",
    submit,
    methods=["POST"],
    status_code=202,
    response_model=Job,
    openapi_extra=JOB_REQUEST_BODY | _SUBMIT_HEADERS,
)


def accepted(admitted: Admitted) -> Response:
    """202, or 200 for what was accepted before."""
    return job_response(admitted.job, 200 if admitted.is_replay else 202, headers_of(admitted))


def headers_of(admitted: Admitted) -> dict[str, str]:
    headers = ratelimit.headers_of(admitted.rooms) | {"Location": f"/v1/jobs/{admitted.job.id}"}
    if admitted.is_replay:
        headers["Idempotent-Replayed"] = "true"
    return headers


def job_response(job: Job, status: int, headers: dict[str, str]) -> Response:
    """Written at once: FastAPI would check and copy the job before."""
    return Response(job.model_dump_json(by_alias=True), status, headers, "application/json")


def _seen(job: Job) -> Response:
    """With a hint to whoever polls, while the job goes on."""
    if job.state in TERMINAL:
        return job_response(job, 200, {})
    least_s, most_s = _POLL_AFTER_S
    starts_in_s = (job.estimated_start_at or 0) - time.time()
    pause_s = round(min(max(starts_in_s / 2, least_s), most_s))
    return job_response(job, 200, {"Retry-After": str(pause_s), "openai-poll-after-ms": str(pause_s * 1000)})


async def _wait(here: Gateway, tenant: str, job_id: str, wait_s: float) -> Job:
    deadline_s = time.monotonic() + wait_s
    with here.events.listening(job_id, for_output=False) as bell:
        while True:
            job = await here.job(tenant, job_id)
            left_s = deadline_s - time.monotonic()
            if job.state in TERMINAL or left_s <= 0:
                return job
            await bell.wait(min(left_s, spread(LOOK_AGAIN_S)))


@direct("/v1/jobs/{job_id}", Scope.READ)
async def poll(request: Request, caller: Principal, here: Gateway) -> Response:
    """As ``look`` for who does not wait."""
    return _seen(await here.job(caller.tenant, request.path_params["job_id"]))


@router.get("/jobs/{job_id}", response_model=Job)
async def look(
    request: Request,
    job_id: str,
    caller: Reader,
    here: Here,
    wait: Annotated[float, Query(ge=0, le=86_400)] = 0.0,
    cancel_on_disconnect: bool = False,
) -> Response:
    tenant = caller.tenant
    if not wait:
        return _seen(await here.job(tenant, job_id))
    wait_s = min(wait, here.settings.max_wait_s)
    if not cancel_on_disconnect:
        return _seen(await _wait(here, tenant, job_id, wait_s))
    check_scope(caller, Scope.CANCEL)
    async with cancelled_on_departure(here, request, tenant, job_id):
        return _seen(await _wait(here, tenant, job_id, wait_s))


@router.get("/jobs")
async def page(caller: Reader, here: Here, limit: Limit = 20, after: After = None) -> dict[str, Any]:
    """Newest first; `after` takes the `next` of the page before."""
    return await page_of(here, caller.tenant, Listing.OWNED, limit, after)


@router.delete("/jobs/{job_id}")
async def cancel(job_id: str, caller: Canceller, here: Here) -> Job:
    await here.run(calls.cancel(job_id, caller.tenant))
    return await here.job(caller.tenant, job_id)
