"""The trace that the request belongs to which is being answered."""

from __future__ import annotations

from contextvars import ContextVar

from quill.trace import Trace

TRACE: ContextVar[Trace | None] = ContextVar("trace", default=None)


def traceparent() -> str:
    """Empty outside of a request."""
    trace = TRACE.get()
    return trace.traceparent if trace else ""
