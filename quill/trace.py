"""Where a request comes from, through gateway, job, worker and webhook: W3C Trace Context, level 1.

https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?"
)


@dataclass(frozen=True, slots=True)
class Trace:
    """One step of a trace; what comes after it names it as its parent."""

    trace_id: str
    span_id: str
    flags: str = "00"

    @classmethod
    def begin(cls) -> Trace:
        return cls(secrets.token_hex(16), secrets.token_hex(8))

    @classmethod
    def after(cls, traceparent: str) -> Trace:
        """The next step of what a caller began; a new trace if it is none."""
        match = _TRACEPARENT.fullmatch(traceparent)
        return cls(match[1], secrets.token_hex(8), match[2]) if match else cls.begin()

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"
