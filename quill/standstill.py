"""Whether this process stood still for a while: frozen, stopped, or on a host that is short of everything.

Nobody's silence meanwhile is evidence of anything.
"""

from __future__ import annotations

import time


class Standstill:
    """For whoever looks often: a look that comes late is the end of a standstill."""

    def __init__(self, at_least_s: float) -> None:
        self._at_least_s = at_least_s
        self._looked_s = time.monotonic()
        self._ended_s = float("-inf")

    def look(self) -> None:
        now_s = time.monotonic()
        if now_s - self._looked_s > self._at_least_s:
            self._ended_s = now_s
        self._looked_s = now_s

    @property
    def ago_s(self) -> float:
        """Since the end of the last one."""
        return time.monotonic() - self._ended_s
