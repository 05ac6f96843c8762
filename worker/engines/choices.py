"""Several answers to one request. To the engine each is a request of its own; it reads their prompt once."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import replace

from quill.errors import EngineError, QuillError
from quill.result import Choice, JobResult, Usage
from worker.engines.base import Delta, Engine, GenerationRequest, Handle, OnDelta

#: A failed answer is noticed after this long, whichever of them is waited for.
LOOK_S = 0.25


def submit(engine: Engine, request: GenerationRequest, n: int, on_delta: OnDelta | None = None) -> Handle:
    """Raises what ``Engine.submit`` raises."""
    if n == 1:
        return engine.submit(request, on_delta)
    handles: list[Handle] = []
    try:
        for choice in range(n):
            handles.append(engine.submit(_reseeded(request, choice), _marked(on_delta, choice)))
    except EngineError:
        _abort(handles)
        raise
    return Choices(handles)


class Choices:
    """The handles of one request's answers, taken as one."""

    def __init__(self, handles: list[Handle]) -> None:
        self._handles = handles

    @property
    def produced_tokens(self) -> int:
        return sum(handle.produced_tokens for handle in self._handles)

    def result(self, timeout_s: float | None = None) -> JobResult:
        """It is ``cancelled`` if any of the answers is; a failure of one ends the others."""
        until_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        try:
            # All are looked at each time, whichever is waited for: another may have failed.
            while running := [handle for handle in self._handles if not _has_ended(handle)]:
                if (left_s := until_s - time.monotonic()) <= 0:
                    raise TimeoutError
                with suppress(TimeoutError):
                    running[0].result(min(left_s, LOOK_S))
        except QuillError:
            self.abort()
            raise
        results = [handle.result() for handle in self._handles]
        first, *others = results
        usage = Usage(
            prompt_tokens=first.usage.prompt_tokens,
            completion_tokens=sum(result.usage.completion_tokens for result in results),
            reasoning_tokens=sum(result.usage.reasoning_tokens for result in results),
        )
        alternatives = tuple(_choice_of(result) for result in others)
        is_cut = any(result.finish_reason == "cancelled" for result in results)
        reason = "cancelled" if is_cut else first.finish_reason
        return first.model_copy(
            update={"finish_reason": reason, "alternatives": alternatives, "usage": usage}
        )

    def abort(self) -> None:
        _abort(self._handles)


def _choice_of(result: JobResult) -> Choice:
    return Choice(**{name: getattr(result, name) for name in Choice.model_fields})


def _abort(handles: list[Handle]) -> None:
    for handle in handles:
        handle.abort()


def _has_ended(handle: Handle) -> bool:
    """Raises what the handle's request failed with."""
    try:
        handle.result(0)
    except TimeoutError:
        return False
    return True


def _reseeded(request: GenerationRequest, choice: int) -> GenerationRequest:
    """With a seed every answer has its own, or they would all be the same."""
    seed = request.sampling.seed
    if seed is None or choice == 0:
        return request
    return replace(request, sampling=replace(request.sampling, seed=seed + choice))


def _marked(on_delta: OnDelta | None, choice: int) -> OnDelta | None:
    if on_delta is None:
        return None

    def mark(delta: Delta) -> None:
        on_delta(replace(delta, choice=choice))

    return mark
