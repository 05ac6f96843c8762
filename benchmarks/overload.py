"""A burst of more than a gateway can do, and the time after it until all is as before."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.connection import Target, run
from benchmarks.open_loop import Sample, Summary, offer, percentile, poisson, summary

BURST = 1.5
#: Of the knee, after the burst.
CALM = 0.5
#: Who sheds nothing has half of this in its line at the end, and takes this long to work it off.
BURST_S = 5.0
CALM_S = 12.0
#: Long enough for a percentile of its requests.
_LOOK_S = 0.5
#: A percentile of so few varies by itself.
_NORMAL = 2.0


@dataclass(frozen=True, slots=True)
class Overload:
    #: Accepted in time for the end of the burst.
    goodput_per_s: float
    #: ``None`` if it took longer than was looked at.
    recovery_s: float | None
    summary: Summary


def overload(target: Target, knee_per_s: float, normal_p99_ms: float, dice: random.Random) -> Overload:
    burst = poisson(dice, BURST * knee_per_s, BURST_S)
    after = poisson(dice, CALM * knee_per_s, CALM_S, after_s=BURST_S)
    samples = run(offer(target, [*burst, *after]))
    taken = [sample for sample in samples if sample.status == target.accepted]
    in_burst = sum(sample.due_s + sample.latency_s <= BURST_S for sample in taken)
    return Overload(
        goodput_per_s=in_burst / BURST_S,
        recovery_s=recovery_s(taken, BURST_S, normal_p99_ms),
        summary=summary(samples, target.accepted),
    )


def recovery_s(taken: Sequence[Sample], since_s: float, normal_p99_ms: float) -> float | None:
    """To the end of the first half second whose requests were all but normally quick."""
    for at_s, latencies_s in _looks(taken, since_s):
        if percentile(latencies_s, 0.99) * 1000 <= _NORMAL * normal_p99_ms:
            return at_s - since_s
    return None


def _looks(taken: Sequence[Sample], since_s: float) -> Iterator[tuple[float, list[float]]]:
    end_s = max((sample.due_s for sample in taken), default=since_s)
    while since_s < end_s:
        until_s = since_s + _LOOK_S
        yield until_s, [sample.latency_s for sample in taken if since_s <= sample.due_s < until_s]
        since_s = until_s
