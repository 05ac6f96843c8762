"""How fast an engine steps and produces tokens. Written by its thread, read from any."""

from __future__ import annotations

import threading
import time
from collections import deque

#: Speeds look back this far: long enough to be steady, short enough to follow the load.
WINDOW_S = 10.0

#: Marks closer together than this share one entry: the window stays short at thousands of steps a second.
GRAIN_S = 0.1

#: Weight of the latest step in the mean.
_SMOOTHING = 0.1


class Meter:
    """Tokens and the seconds of work they took, over the last `WINDOW_S`; idle time counts for nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks: deque[tuple[float, int, float]] = deque()
        self._began_s: float | None = None
        self.mean_step_s = 0.0
        self.longest_step_s = 0.0

    def begin(self) -> None:
        """A step begins."""
        self._began_s = time.monotonic()

    def end(self, tokens: int) -> None:
        """The step ends that began last."""
        now_s = time.monotonic()
        step_s = now_s - (self._began_s or now_s)
        self._began_s = None
        self.mean_step_s += (step_s - self.mean_step_s) * _SMOOTHING
        self.longest_step_s = max(self.longest_step_s, step_s)
        self.mark(tokens, step_s)

    @property
    def step_age_s(self) -> float:
        """Since the step began that has not ended yet; 0 between steps."""
        began_s = self._began_s
        return 0.0 if began_s is None else time.monotonic() - began_s

    def mark(self, tokens: int, work_s: float) -> None:
        """Tokens that just came, and what they took."""
        now_s = time.monotonic()
        with self._lock:
            if self._marks and now_s - self._marks[-1][0] < GRAIN_S:
                since_s, sum_tokens, sum_s = self._marks.pop()
                self._marks.append((since_s, sum_tokens + tokens, sum_s + work_s))
            else:
                self._marks.append((now_s, tokens, work_s))
            while now_s - self._marks[0][0] > WINDOW_S:
                self._marks.popleft()

    def tokens_per_s(self) -> float:
        horizon_s = time.monotonic() - WINDOW_S
        with self._lock:
            recent = [mark for mark in self._marks if mark[0] >= horizon_s]
        work_s = sum(mark[2] for mark in recent)
        return sum(mark[1] for mark in recent) / work_s if work_s > 0 else 0.0
