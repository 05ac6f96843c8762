"""Many jobs in one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import Field

from gateway import ratelimit
from gateway.admission import Admitted
from gateway.body import read_model
from gateway.caller import Submitter
from gateway.contract import body_of
from gateway.identity import Identity, identity_of
from gateway.problems import problem_of
from gateway.state import Here
from quill import ids
from quill.errors import QuillError, RateLimited
from quill.job import JobRequest
from quill.limits import NO_ROOMS
from quill.wire import Wire

router = APIRouter(prefix="/v1", tags=["jobs"])

_JOBS_AT_MOST = 1000


class Batch(Wire):
    jobs: Annotated[tuple[JobRequest, ...], Field(strict=False, min_length=1, max_length=_JOBS_AT_MOST)]


@router.post("/jobs/batch", openapi_extra=body_of(Batch))
async def submit_batch(
    request: Request,
    response: Response,
    caller: Submitter,
    here: Here,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> dict[str, Any]:
    """Each job is accepted or refused on its own, in the order given; a wrong body is refused whole.

    If the service fails on the way, what it did not accept has a 503 of its own. With an Idempotency-Key the
    same batch may be sent again: each place in it stands for one job.
    """
    jobs = (await read_model(request, Batch, here.settings.max_body_bytes)).jobs
    identities = _identities(caller.tenant, idempotency_key, jobs)
    answers = await here.admission.admit_each(caller, list(zip(jobs, identities, strict=True)))
    response.headers.update(_room_headers(answers))
    request_id = str(request.scope.get("request_id", ""))
    return {"object": "list", "data": [_entry(answer, request_id) for answer in answers]}


def _room_headers(answers: Sequence[Admitted | QuillError]) -> dict[str, str]:
    """What is left after all of them."""
    told = (answer.rooms for answer in reversed(answers) if isinstance(answer, Admitted | RateLimited))
    return ratelimit.headers_of(next((rooms for rooms in told if rooms and rooms.left), NO_ROOMS))


def _identities(tenant: str, key: str | None, jobs: Sequence[JobRequest]) -> list[Identity]:
    """One a place, none of which a single job's key can be. Raises ``InvalidRequest`` as for such a key."""
    whole = identity_of(tenant, key, jobs[0], None)
    if not whole.digest:
        return [whole] * len(jobs)
    return [
        Identity(ids.fingerprint(tenant, "batch", whole.digest, str(place))) for place in range(len(jobs))
    ]


def _entry(answer: Admitted | QuillError, request_id: str) -> dict[str, Any]:
    if isinstance(answer, QuillError):
        refused = problem_of(answer, request_id)
        return {
            "status": answer.status,
            "job": None,
            "error": refused.model_dump(mode="json", exclude_none=True),
        }
    status = 200 if answer.is_replay else 202
    return {"status": status, "job": answer.job.model_dump(mode="json", by_alias=True), "error": None}
