"""Pages of a tenant's jobs, the newest first."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from gateway.problems import pointer
from gateway.state import Gateway
from quill.errors import Fault, InvalidRequest
from quill.store import calls, listing
from quill.store.listing import Listing

Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=32)]


async def page_of(
    here: Gateway, tenant: str, listed: Listing, limit: int, after: str | None
) -> dict[str, Any]:
    """Raises ``InvalidRequest`` for an `after` that is no page's `next`."""
    if after is not None and not (after.isascii() and after.isdecimal()):
        raise InvalidRequest(faults=(Fault(pointer(["query", "after"]), "must be the `next` of a page"),))
    entries = await here.run(listing.page(tenant, int(after) if after else None, limit + 1, listed))
    shown = entries[:limit]
    jobs = await here.run(calls.read(tenant, [entry.job_id for entry in shown])) if shown else []
    has_more = len(entries) > limit
    return {
        "object": "list",
        "data": [job.model_dump(mode="json", by_alias=True) for job in jobs if job],
        "has_more": has_more,
        "next": str(shown[-1].admitted_us) if has_more else None,
    }
