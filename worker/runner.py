"""One job's life on a worker, from its ticket to its end. Knows nothing of Celery."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeVar

import structlog

from quill.errors import (
    EngineClosed,
    EngineFault,
    EngineLost,
    JobNotFound,
    QuillError,
    RunTimedOut,
    Unavailable,
)
from quill.ids import new_token
from quill.job import JobRequest
from quill.result import JobResult, Usage
from quill.states import State
from quill.store import calls
from quill.store.attempt import Claim
from quill.store.call import Call
from quill.store.record import fault_json
from quill.store.refusals import FenceError, RetriesSpent, StaleTicket, WorkerBusy, WorkerKept
from quill.store.run import Store
from quill.trace import Trace
from worker.engines import choices
from worker.engines.base import Delta, Engine, GenerationRequest, Handle, OnDelta, Sampling
from worker.flusher import Flusher
from worker.health import Health, Measures
from worker.holdings import HeldJob, Holdings

_log = structlog.get_logger(__name__)

T = TypeVar("T")

_NOTHING_USED = Usage(prompt_tokens=0, completion_tokens=0)
_RETRY_S = 0.25


@dataclass(frozen=True, slots=True)
class Backoff:
    """Between the tries of one job; the store draws the pause from 0 to ``base_s`` * 2^retries."""

    base_s: float
    pause_at_most_s: float

    def retry(self, claim: Claim) -> Call[float]:
        return calls.retry(
            claim, base_s=self.base_s, pause_at_most_s=self.pause_at_most_s, draw=random.random()
        )


class Runner:
    def __init__(
        self,
        store: Store,
        engine: Engine,
        holdings: Holdings,
        flusher: Flusher,
        health: Health,
        *,
        backoff: Backoff,
        worker_id: str,
        has_ended: threading.Event,
    ) -> None:
        self._store = store
        self._engine = engine
        self._holdings = holdings
        self._flusher = flusher
        self._health = health
        self._backoff = backoff
        self._worker_id = worker_id
        self._has_ended = has_ended

    def run(self, job_id: str, seq: int) -> None:
        """Claims the job and runs it to its end. Returns at once if the ticket was overtaken.

        A worker that stops declines the ticket instead.
        """
        if self._holdings.is_closed:
            self._decline(job_id, seq)
            return
        try:
            claim = self._claim(job_id, seq)
        except WorkerBusy:
            self._decline(job_id, seq)
            return
        except (StaleTicket, JobNotFound, Unavailable) as reason:
            _log.debug("ticket not used", action="skip_ticket", job_id=job_id, reason=reason.code)
            if isinstance(reason, WorkerKept):
                # Its other slots ask on, and with nobody else at the list would get this one again and again.
                self._has_ended.wait(_RETRY_S)
            return
        trace = Trace.after(claim.traceparent)
        with structlog.contextvars.bound_contextvars(
            job_id=job_id, attempt=claim.attempt, trace_id=trace.trace_id, span_id=trace.span_id
        ):
            _log.info("claimed", action="claim", wait_ms=claim.wait_ms)
            with self._holdings.hold(claim) as job:
                self._run_claimed(job)

    def _claim(self, job_id: str, seq: int) -> Claim:
        """Raises ``StaleTicket`` or ``JobNotFound``; ``WorkerBusy`` or ``Unavailable`` when this worker ends.

        It asks however long the store is away: that may have made the claim already, or find it in its
        buffers when it wakes up, and then nobody else gets the job until the lease ends.
        """
        call = calls.claim(job_id, seq, self._worker_id, new_token())
        while True:
            try:
                return self._patiently(call)
            except WorkerBusy:
                self._has_ended.wait(_RETRY_S)
                if self._holdings.is_closed:
                    raise

    def _decline(self, job_id: str, seq: int) -> None:
        try:
            self._store.run(calls.decline(job_id, seq))
        except (StaleTicket, JobNotFound, Unavailable) as reason:
            _log.debug("ticket not declined", action="skip_ticket", job_id=job_id, reason=reason.code)
        else:
            _log.info("ticket declined", action="decline", job_id=job_id)

    def _run_claimed(self, job: HeldJob) -> None:
        claim = job.claim
        clock = _Clock(self._flusher.open(claim) if claim.is_streaming else None)
        try:
            request = claim.request
            handle = choices.submit(
                self._engine, generation_of(request, claim.tenant), request.n, clock.on_delta
            )
            job.attach(handle)
            result = _within(request.run_timeout_s, handle)
        except EngineClosed:
            self._release(claim)
            return
        except EngineLost:
            # Not this try's end alone: the watchdog ends the worker, and the store takes back what it held.
            self._holdings.close()
            return
        except QuillError as error:
            self._fall_short(claim, error)
            return
        except Exception:
            # An engine's defect must cost its job a try, not its worker; the caller is told no more.
            _log.exception("the engine raised what it should not", action="engine_defect")
            self._fall_short(claim, EngineFault())
            return
        if result.finish_reason == "cancelled":
            _log.info("stopped", action="stop", tokens=result.usage.completion_tokens)
            self._release(claim)
            return
        if result.finish_reason == "timeout":
            outcome = fault_json(RunTimedOut, result)
            self._finish(claim, State.EXPIRED, outcome, result.usage)
            return
        self._succeed(claim, result, clock)

    def _succeed(self, claim: Claim, result: JobResult, clock: _Clock) -> None:
        measures = Measures.of(result, wait_ms=claim.wait_ms, run_s=clock.elapsed_s, first_s=clock.first_s)
        self._health.note(measures)
        self._finish(
            claim,
            State.SUCCEEDED,
            result.model_dump_json(),
            result.usage,
            measures.as_json(),
        )

    def _release(self, claim: Claim) -> None:
        """Whoever had it stopped: unless it has ended or is another's by now, it goes on elsewhere."""
        self._flusher.close(claim)
        try:
            self._patiently(calls.release(claim))
        except (FenceError, JobNotFound) as reason:
            _log.debug("not ours any more", action="release_refused", reason=reason.code)
        except Unavailable as reason:
            _log.warning("could not be handed back", action="release_refused", reason=reason.code)
        else:
            _log.info("handed back", action="release")

    def _fall_short(self, claim: Claim, error: QuillError) -> None:
        """Another try if it may help and one is left, else the end."""
        if not error.retryable or not self._is_tried_again(claim, error):
            self._finish(claim, State.FAILED, fault_json(error))

    def _is_tried_again(self, claim: Claim, error: QuillError) -> bool:
        """Also true if the job is no longer ours to fail."""
        try:
            pause_s = self._patiently(self._backoff.retry(claim))
        except RetriesSpent:
            return False
        except (FenceError, JobNotFound, Unavailable) as reason:
            _log.warning("the retry was not accepted", action="retry_refused", reason=reason.code)
        else:
            _log.warning("tries again", action="retry", reason=error.code, pause_s=pause_s)
        self._flusher.close(claim)
        return True

    def _finish(
        self, claim: Claim, state: State, outcome: str, usage: Usage = _NOTHING_USED, measures: str = "{}"
    ) -> None:
        tail = self._flusher.close(claim) if claim.is_streaming else []
        call = calls.finish(
            claim,
            state,
            outcome,
            prompt_tokens=usage.prompt_tokens,
            produced_tokens=usage.completion_tokens,
            tail=tail,
            measures=measures,
        )
        try:
            self._patiently(call)
        except (FenceError, JobNotFound, Unavailable) as reason:
            _log.warning("the end was not accepted", action="finish_refused", reason=reason.code)
        else:
            _log.info("finished", action="finish", state=state.value, tokens=usage.completion_tokens)

    def _patiently(self, call: Call[T]) -> T:
        """Repeats a call while the store is away: every script may be repeated.

        Raises ``Unavailable`` when this worker ends.
        """
        while True:
            try:
                return self._store.run(call)
            except Unavailable:
                if self._has_ended.wait(_RETRY_S):
                    raise


def _within(timeout_s: float | None, handle: Handle) -> JobResult:
    """The run's result; with finish_reason ``timeout`` if its time was over before it ended."""
    try:
        return handle.result(timeout_s)
    except TimeoutError:
        handle.abort()
    result = handle.result()
    # It may have come to its own end in the meantime.
    return (
        result.model_copy(update={"finish_reason": "timeout"})
        if result.finish_reason == "cancelled"
        else result
    )


class _Clock:
    """Times a run and its first output, on the way to whoever takes the output."""

    def __init__(self, forward: OnDelta | None) -> None:
        self._forward: Callable[[Delta], None] | None = forward
        self._started_s = time.monotonic()
        self.first_s: float | None = None

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started_s

    def on_delta(self, delta: Delta) -> None:
        if self.first_s is None:
            self.first_s = self.elapsed_s
        if self._forward is not None:
            self._forward(delta)


def generation_of(request: JobRequest, tenant: str) -> GenerationRequest:
    """The fields of ``Sampling`` are those of the request."""
    told = request.chat_template_kwargs.model_dump(exclude_none=True, exclude={"enable_thinking"})
    return GenerationRequest(
        messages=request.turns,
        sampling=Sampling(**{field.name: getattr(request, field.name) for field in fields(Sampling)}),
        thinking=request.wants_thinking,
        thinking_budget=request.thinking_budget,
        template_options=told,
        salt=tenant,
    )
