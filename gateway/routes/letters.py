"""Dead letters, jobs that failed: list them, run them anew, forget them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from gateway.caller import Canceller, Reader, Submitter
from gateway.routes.jobs import accepted
from gateway.routes.paging import After, Limit, page_of
from gateway.state import Here
from quill.errors import JobNotFound, NotADeadLetter
from quill.job import Job
from quill.states import State
from quill.store import listing
from quill.store.listing import Listing

router = APIRouter(prefix="/v1", tags=["dead letters"])

#: Forgotten by one request at most.
_PURGED_AT_MOST = 100


@router.get("/dead-letters")
async def page(caller: Reader, here: Here, limit: Limit = 20, after: After = None) -> dict[str, Any]:
    """Jobs that failed, newest first, each with its reason in `error`."""
    return await page_of(here, caller.tenant, Listing.DEAD, limit, after)


@router.post("/dead-letters/{job_id}/replay", status_code=202, response_model=Job)
async def replay(job_id: str, caller: Submitter, here: Here) -> Response:
    """The same request as a new job, once: a second replay gives the first one's job."""
    found = await here.run(listing.request(caller.tenant, job_id))
    if found is None:
        raise JobNotFound
    job, request = found
    if job.state is not State.FAILED:
        raise NotADeadLetter
    return accepted(await here.admission.replay(caller, job, request))


@router.delete("/dead-letters/{job_id}", status_code=204)
async def purge(job_id: str, caller: Canceller, here: Here) -> None:
    """The job is forgotten: request, result and record."""
    if await here.run(listing.purge(caller.tenant, [job_id])) == 0:
        await here.job(caller.tenant, job_id)
        raise NotADeadLetter


@router.delete("/dead-letters")
async def purge_some(caller: Canceller, here: Here) -> dict[str, Any]:
    """Forgets the newest hundred; `has_more` says whether to ask again."""
    entries = await here.run(listing.page(caller.tenant, None, _PURGED_AT_MOST + 1, Listing.DEAD))
    letters = [entry.job_id for entry in entries[:_PURGED_AT_MOST]]
    purged = await here.run(listing.purge(caller.tenant, letters)) if letters else 0
    return {"purged": purged, "has_more": len(entries) > _PURGED_AT_MOST}
