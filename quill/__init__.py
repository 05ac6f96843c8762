"""Quill: an asynchronous generation service for Qwen models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quill.client import AsyncClient, Client
    from quill.job import Job, JobRequest
    from quill.producer import Queue
    from quill.result import JobResult

_HOMES = {
    "AsyncClient": "quill.client",
    "Client": "quill.client",
    "Job": "quill.job",
    "JobRequest": "quill.job",
    "JobResult": "quill.result",
    "Queue": "quill.producer",
}

__all__ = ["AsyncClient", "Client", "Job", "JobRequest", "JobResult", "Queue"]


def __getattr__(name: str) -> object:
    """Imports on first use: a worker that needs no HTTP client does not load one."""
    if name not in _HOMES:
        raise AttributeError(f"module 'quill' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
