"""Who imports whom, seen from a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "vllm"}
WEB = {"fastapi", "starlette", "uvicorn"}


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("gateway.app", HEAVY | {"worker", "celery"}),
        ("gateway.__main__", HEAVY | {"worker", "celery"}),
        ("worker.boot", HEAVY | WEB | {"gateway"}),
        ("worker.engines.simulated", HEAVY | WEB | {"gateway"}),
        ("quill", HEAVY | WEB | {"gateway", "worker", "celery", "httpx2", "redis"}),
        ("quill.producer", HEAVY | WEB | {"gateway", "worker", "celery", "httpx2"}),
        ("quill.client", HEAVY | WEB | {"gateway", "worker", "celery", "redis"}),
        ("quill.intake.app", HEAVY | WEB | {"gateway", "worker"}),
        ("quill.cli", HEAVY | WEB | {"gateway", "worker", "celery", "httpx2", "redis", "rich"}),
        ("quill.tiny.cases", HEAVY | WEB | {"gateway", "worker"}),
    ],
)
def test_a_module_loads_nothing_that_is_not_its_business(module: str, forbidden: set[str]) -> None:
    code = f"import {module}, sys; print(*({sorted(forbidden)!r} and set(sys.modules) & {forbidden!r}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
