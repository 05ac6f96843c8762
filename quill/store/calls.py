"""One function a script: what it takes and what it gives. Pure; the drivers are in run.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from quill.errors import JobCancelled, JobExpired, PoisonJob
from quill.job import Job
from quill.pricing import ModelFacts
from quill.settings import LEASE_MS, PAUSE_MS, SILENT_MS, SWEEP_LIMIT
from quill.states import State, allowed_from
from quill.store.attempt import Chunk, Claim, Holding
from quill.store.call import Call, Reply
from quill.store.record import fault_json, job_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sweep:
    next_due_ms: int
    moved: int


def _allowed(script: str, target: State) -> str:
    return ",".join(sorted(allowed_from(script, target)))


def _named(things: Sequence[T]) -> Callable[[str, Reply], list[T]]:
    """Those of ``things`` whose places, from 1, a script answers with."""
    return lambda _, places: [things[place - 1] for place in places]


def claim(job_id: str, seq: int, worker: str, token: str) -> Call[Claim]:
    """Raises ``StaleTicket``, ``WorkerBusy`` or ``JobNotFound``."""

    def parse(_: str, reply: Reply) -> Claim:
        attempt, request, model, tenant, stream, wait_ms, trace = reply
        return Claim(
            job_id=job_id,
            attempt=attempt,
            token=token,
            model=model.decode(),
            tenant=tenant.decode(),
            request_json=request,
            is_streaming=stream == b"1",
            wait_ms=wait_ms,
            traceparent=trace.decode() if trace else "",
        )

    allowed = _allowed("claim", State.RUNNING)
    return Call("claim", (job_id, seq, worker, token, LEASE_MS, allowed, fault_json(JobExpired)), parse)


def decline(job_id: str, seq: int) -> Call[None]:
    """Gives a ticket back unclaimed. Raises ``StaleTicket`` or ``JobNotFound``."""
    return Call("decline", (job_id, seq), lambda _, __: None)


def renew(worker: str, report: str, held: Sequence[Holding]) -> Call[list[Holding]]:
    """Gives those that the worker must stop. Raises ``UnknownWorker``."""
    flat = [value for job in held for value in (job.job_id, job.attempt, job.token, job.produced_tokens)]
    return Call("renew", (worker, LEASE_MS, report, *flat), _named(held))


def emit(chunks: Sequence[Chunk], ttl_s: float) -> Call[list[Chunk]]:
    """Gives those that were refused; the worker must stop their attempts."""
    flat = [
        value
        for chunk in chunks
        for value in (chunk.job_id, chunk.attempt, chunk.token, chunk.number, chunk.data)
    ]
    return Call("emit", (round(ttl_s * 1000), *flat), _named(chunks))


def finish(
    held: Claim,
    state: State,
    outcome: str,
    *,
    prompt_tokens: int = 0,
    produced_tokens: int = 0,
    tail: Iterable[Chunk] = (),
    measures: str = "{}",
) -> Call[State]:
    """``outcome`` and ``measures`` are JSON; ``tail`` is output that is not written yet.

    Gives the state, also when repeated.

    The tokens that it read and produced are what the tenant's share is charged in the end.

    Raises ``Fenced``, ``IllegalTransition`` or ``JobNotFound``.
    """
    arguments = (
        held.job_id,
        held.attempt,
        held.token,
        state.value,
        _allowed("finish", state),
        outcome,
        produced_tokens,
        prompt_tokens + produced_tokens,
        measures,
        *(value for chunk in tail for value in (chunk.number, chunk.data)),
    )
    return Call("finish", arguments, lambda _, reply: State(reply[0].decode()))


def release(held: Claim) -> Call[None]:
    """Hands a running job back. Raises ``Fenced``, ``IllegalTransition`` or ``JobNotFound``."""
    arguments = (held.job_id, held.attempt, held.token, _allowed("release", State.QUEUED))
    return Call("release", arguments, lambda _, __: None)


def retry(held: Claim, *, base_s: float, pause_at_most_s: float, draw: float) -> Call[float]:
    """Gives the pause in seconds; ``draw`` is random, from 0 to 1.

    Raises ``RetriesSpent``, ``Fenced``, ``IllegalTransition`` or ``JobNotFound``.
    """
    arguments = (
        held.job_id,
        held.attempt,
        held.token,
        _allowed("retry", State.QUEUED),
        held.max_retries,
        round(base_s * 1000),
        round(pause_at_most_s * 1000),
        draw,
    )
    return Call("retry", arguments, lambda _, reply: int(reply[0]) / 1000)


def cancel(job_id: str, tenant: str) -> Call[State]:
    """Raises ``JobNotCancellable`` or ``JobNotFound``."""
    arguments = (job_id, tenant, _allowed("cancel", State.CANCELLED), fault_json(JobCancelled))
    return Call("cancel", arguments, lambda _, reply: State(reply[0].decode()))


def sweep() -> Call[Sweep]:
    arguments = (
        SWEEP_LIMIT,
        LEASE_MS,
        SILENT_MS,
        PAUSE_MS,
        _allowed("sweep", State.QUEUED),
        _allowed("sweep", State.FAILED),
        _allowed("sweep", State.EXPIRED),
        fault_json(PoisonJob),
        fault_json(JobExpired),
    )
    return Call("sweep", arguments, lambda _, reply: Sweep(reply[0], reply[1]))


def bury(worker: str, *, is_crash: bool) -> Call[int]:
    """Takes a dead worker's jobs back, some at a time; gives how many are left. For who saw it die.

    A crash, unlike a kill from outside, makes suspects of its jobs.
    """
    arguments = (
        worker,
        SWEEP_LIMIT,
        int(is_crash),
        _allowed("bury", State.QUEUED),
        _allowed("bury", State.FAILED),
        fault_json(PoisonJob),
    )
    return Call("bury", arguments, lambda _, reply: int(reply[0]))


def join(
    worker: str, model: str, slots: int, report: str, facts: ModelFacts, tokenizer: bytes = b""
) -> Call[int]:
    """Gives the slots that the model has now. ``tokenizer`` is what ``facts.tokenizer`` names, compressed."""
    flat = [value for pair in facts.as_fields().items() for value in pair]
    arguments = (worker, model, slots, report, facts.tokenizer, tokenizer, *flat)
    return Call("join", arguments, lambda _, reply: int(reply[0]))


def leave(worker: str, model: str) -> Call[int]:
    """Gives the slots that the model has left."""
    return Call("leave", (worker, model), lambda _, reply: int(reply[0]))


def read(tenant: str, job_ids: Sequence[str]) -> Call[list[Job | None]]:
    """Gives an entry an id, ``None`` where the tenant has no such job."""

    def parse(_: str, reply: Reply) -> list[Job | None]:
        return [entry and job_of(job_id, entry) for job_id, entry in zip(job_ids, reply, strict=True)]

    return Call("read", (tenant, 0, *job_ids), parse)
