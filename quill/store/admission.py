"""The call by which a job is accepted, with everything that may speak against it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from quill.errors import BacklogTooLong, ExceedsLimit, QuillError, RateLimited
from quill.job import JobRequest
from quill.limits import NO_BOUNDS, NO_ROOMS, Bound, Bounds, Dimension, Rooms
from quill.store.call import Call, Reply


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that may be admitted: parsed, priced and attributed."""

    job_id: str
    tenant: str
    model: str
    request: JobRequest
    #: What it may cost in tokens, prompt and answer; the unit of fair share.
    cost_tokens: int
    #: Of these the prompt's, which a job that was begun has used.
    prompt_tokens: int = field(default=0, kw_only=True)
    #: At most; the request may ask for less.
    result_ttl_s: float
    max_queued_jobs: int
    #: Tells one body from another; only read beside an idempotency key.
    fingerprint: str = "-"
    #: A digest of the caller's Idempotency-Key; empty for none.
    idempotency_digest: str = ""
    #: The digest stands for this job so long; ``None``: exactly as long as the job can be read.
    digest_ttl_s: float | None = None
    weight: float = 1.0
    #: The Celery result to which the outcome is published; empty for none.
    celery_id: str = ""
    #: Of the tenant's jobs at once, over all models; further ones wait. ``None`` is no cap.
    max_running_jobs: int | None = None
    #: The dead letter that this job replays; empty for none.
    replay_of: str = ""
    #: What it has to fit into, all at once.
    bounds: Bounds = NO_BOUNDS
    #: The digest stands for this job or, if that is refused, for none that has ended.
    is_first_try: bool = False
    #: Of the request that it comes from (W3C Trace Context); empty for none.
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Admission:
    job_id: str
    #: Rank in the tenant's line, from 1; ``None`` if a ticket is out already or it was admitted before.
    position: int | None
    is_replay: bool
    #: Of the job, also of one that was admitted before; seconds since the epoch by the store's clock.
    created_at: float
    #: When it will probably start; ``None`` if that is now, or nobody can tell.
    estimated_start_at: float | None = None
    #: What is left of each bound.
    rooms: Rooms = NO_ROOMS


def admit(submission: Submission) -> Call[Admission]:
    """Raises ``IdempotencyConflict``, ``ExceedsLimit``, ``RateLimited`` or an ``Unavailable``."""

    bounds = submission.bounds

    def parse(code: str, reply: Reply) -> Admission:
        job_id, created_us, position, starts_in_ms, *left = reply
        created_at = int(created_us) / 1_000_000
        return Admission(
            job_id.decode(),
            position,
            code == "REPLAY",
            created_at,
            None if starts_in_ms is None else created_at + starts_in_ms / 1000,
            Rooms(bounds, left[::2], left[1::2]) if left else NO_ROOMS,
        )

    def refusal(code: str, reply: Reply) -> QuillError | None:
        if code == "LATE":
            return BacklogTooLong(retry_after_s=reply[0] / 1000)
        if code == "BEYOND":
            return _beyond(bounds.items[reply[0] - 1], reply[1])
        if code == "LIMITED":
            return _reached(Rooms(bounds, reply[::3], reply[1::3]), reply[2::3])
        return None

    request = submission.request
    arguments = (
        submission.job_id,
        submission.tenant,
        submission.model,
        request.job_class.value,
        submission.weight,
        submission.cost_tokens,
        request.model_dump_json(by_alias=True, exclude_defaults=True),
        submission.fingerprint,
        submission.idempotency_digest,
        round((request.start_by_s or 0) * 1000),
        round(min(submission.result_ttl_s, request.result_ttl_s or submission.result_ttl_s) * 1000),
        submission.max_queued_jobs,
        int(request.stream),
        submission.celery_id,
        submission.max_running_jobs or 0,
        submission.replay_of,
        int(submission.is_first_try),
        round((submission.digest_ttl_s or 0) * 1000),
        submission.traceparent,
        bounds.argument,
        submission.prompt_tokens,
        # Beside the request, which who looks at a job need not read.
        json.dumps(request.metadata, ensure_ascii=False) if request.metadata else "",
    )
    return Call("admit", arguments, parse, refusal)


def _beyond(bound: Bound, amount: int) -> ExceedsLimit:
    what = "tokens, prompt and answer" if bound.dimension is Dimension.TOKENS else "bytes"
    return ExceedsLimit(
        f"The request takes up to {amount} {what}; the limit of this {bound.kind} is {bound.capacity} at "
        "once. Shorten the prompt or lower max_tokens."
    )


def _reached(rooms: Rooms, fits_in_ms: Sequence[int]) -> RateLimited:
    """With the time until all of them have room again; of places nobody knows when they become free."""
    reached = [
        (bound, wait_ms)
        for bound, wait_ms in zip(rooms.bounds.items, fits_in_ms, strict=True)
        if wait_ms >= 0
    ]
    names = " and ".join(sorted({f"{bound.dimension.value} of this {bound.kind}" for bound, _ in reached}))
    return RateLimited(
        f"The limit of {names} is reached. Nothing was accepted; send it again after Retry-After.",
        retry_after_s=max(1.0, *(wait_ms / 1000 for _, wait_ms in reached)),
        violated=tuple(bound.name for bound, _ in reached),
        rooms=rooms,
    )
