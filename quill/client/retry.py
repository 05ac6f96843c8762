"""When a request is sent again, and after which pause. Pure: the drivers do the waiting."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from quill.client.failures import error_of, may_retry
from quill.client.steps import Answer, Call, Flow, Reply, Send
from quill.errors import QuillError

DEFAULT_MAX_RETRIES = 4

#: The first pause is anywhere below this; each further bound is twice the one before ("full jitter",
#: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
_FIRST_BOUND_S = 0.25
_LARGEST_BOUND_S = 8.0


@dataclass(frozen=True, slots=True)
class Policy:
    max_retries: int = DEFAULT_MAX_RETRIES
    #: A gateway that asks for a longer pause is not waited for: its error goes to the caller at once.
    longest_pause_s: float = 30.0
    #: Uniform in [0, 1).
    draw: Callable[[], float] = random.random
    #: Monotonic seconds.
    clock: Callable[[], float] = time.monotonic

    def pause_s(self, failures: int, error: QuillError) -> float | None:
        """The pause after the ``failures``-th failure in a row; ``None`` to give up."""
        if failures > self.max_retries:
            return None
        jitter_s = self.draw() * min(_LARGEST_BOUND_S, _FIRST_BOUND_S * 2.0 ** min(failures - 1, 10))
        asked_s = error.retry_after_s or 0.0
        if asked_s > self.longest_pause_s:
            return None
        # On top of what was asked for, so that refused clients do not all come back at once.
        return min(asked_s + jitter_s, self.longest_pause_s)

    def next_pause_s(self, failures: int, answer: Answer) -> float:
        """The pause before the next try. Raises the answer's error if there is none."""
        error = error_of(answer)
        pause_s = self.pause_s(failures, error) if may_retry(answer) else None
        if pause_s is None:
            raise error
        return pause_s


def exchange(
    call: Call, policy: Policy, *, pause_s: float = 0.0, until_s: float | None = None
) -> Flow[Reply]:
    """Sends ``call`` until it succeeds. Only for calls that may be repeated; every one of Quill's may.

    ``until_s``, by the policy's clock, ends the retries with ``TimeoutError``. Otherwise raises what the last
    answer stands for.
    """
    failures = 0
    while True:
        answer = yield Send(call, pause_s)
        if isinstance(answer, Reply) and answer.is_success:
            return answer
        failures += 1
        pause_s = policy.next_pause_s(failures, answer)
        if until_s is not None and policy.clock() + pause_s >= until_s:
            raise TimeoutError("the time was over while the gateway did not answer") from error_of(answer)
