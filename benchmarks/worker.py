"""A real worker process of a benchmark's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MODEL = "bench"


def start(url: str, module: str = "worker", /, **options: object) -> subprocess.Popen[bytes]:
    """With the simulated engine."""
    named = {"redis_url": url, "engine": "simulated", "served_model": MODEL, "log_level": "error"} | options
    environment = os.environ | {f"QUILL_{name.upper()}": str(value) for name, value in named.items()}
    return subprocess.Popen([sys.executable, "-m", module], env=environment)


def end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()


@contextmanager
def running(url: str, /, **options: object) -> Iterator[None]:
    worker = start(url, "worker", **options)
    try:
        yield
    finally:
        end(worker)
