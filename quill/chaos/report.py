"""The timeline that a person reads, and the one JSON line that a program does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass


class Timeline:
    """Prints what happens, when, from the start of the run."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._began_s = time.monotonic()
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        with self._lock:
            self._write(f"{time.monotonic() - self._began_s:8.2f} s  {text}")


@dataclass(frozen=True, slots=True)
class Verdict:
    seed: int
    seconds: float
    jobs: int
    lost: int
    doubled: int
    stuck: int
    faults: int
    #: Faults that were begun and did not happen: the run proves less than it says.
    void: int
    violations: int
    recovery_p50_s: float
    recovery_p99_s: float
    recovery_max_s: float

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.stuck or self.violations or self.void)

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def percentile(values: Sequence[float], share: float) -> float:
    """0 of nothing."""
    ordered = sorted(values)
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 3) if ordered else 0.0


def summed(verdicts: Sequence[Verdict]) -> dict[str, float | int]:
    """Of several seeds: counts add up, times are those of the slowest."""
    counts = ("jobs", "lost", "doubled", "stuck", "faults", "void", "violations")
    times = ("recovery_p50_s", "recovery_p99_s", "recovery_max_s")
    return (
        {"seeds": len(verdicts)}
        | {name: sum(getattr(verdict, name) for verdict in verdicts) for name in counts}
        | {name: max(getattr(verdict, name) for verdict in verdicts) for name in times}
    )
