"""The gateways that are measured, each as a process on a core of its own, its store new and on the other."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.connection import Target
from benchmarks.pinned import serving
from benchmarks.server import valkey
from benchmarks.worker import MODEL
from quill.embedded import free_port
from quill.limits import Limits, Rate
from quill.pricing import ModelFacts
from quill.settings import Settings
from quill.store import calls
from quill.store.run import AsyncStore, Store
from quill.tenancy.plan import Plan
from quill.tenancy.records import CALLER_SCOPES
from quill.tenancy.registry import NewKey, Registry

#: About 500 bytes.
PROMPT = 5 * "Explain to a curious child, in plain words and short sentences, why the sky is blue at noon. "
JOB = {"prompt": PROMPT, "max_tokens": 64}
#: No run gets there.
_NEVER = 10**12
PLAN = Plan(
    name="bench",
    limits=Limits(
        requests=Rate(count=_NEVER),
        tokens=Rate(count=_NEVER),
        concurrent_jobs=_NEVER,
        queued_jobs=_NEVER,
        queued_bytes=_NEVER,
    ),
)
CHAT = {"model": "mock", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 64}


def headers(url: str) -> dict[str, str]:
    """Of every request to our gateway: the key of a new tenant that every limit counts and none stops."""

    async def newcomer() -> NewKey:
        store = AsyncStore.connect(Settings(redis_url=url))
        try:
            registry = Registry(store)
            await registry.create_tenant("bench", PLAN)
            return await registry.create_key("bench", name="bench", scopes=CALLER_SCOPES)
        finally:
            await store.close()

    return {"Authorization": f"Bearer {asyncio.run(newcomer()).text}"}


@dataclass(frozen=True, slots=True)
class Served:
    target: Target
    pid: int
    #: 0 for who has none.
    store_pid: int = 0


@contextmanager
def quill(core: int, log_level: str) -> Iterator[Served]:
    with valkey() as url:
        port = free_port()
        options = {"redis_url": url, "port": port, "default_model": MODEL, "log_level": log_level}
        environment = {f"QUILL_{name.upper()}": str(value) for name, value in options.items()}
        store_pid = prepare(url)
        with serving(core, [sys.executable, "-m", "gateway"], port, environment) as pid:
            yield Served(Target.of(port, "/v1/jobs", JOB, headers(url), accepted=202), pid, store_pid)


@contextmanager
def bare(core: int) -> Iterator[Served]:
    with valkey() as url:
        port = free_port()
        environment = {"BENCH_REDIS_URL": url, "BENCH_PORT": str(port)}
        store_pid = prepare(url)
        with serving(core, [sys.executable, "-m", "benchmarks.bare_gateway"], port, environment) as pid:
            yield Served(Target.of(port, "/v1/jobs", JOB, {}, accepted=202), pid, store_pid)


@contextmanager
def litellm(core: int, python: str) -> Iterator[Served]:
    port, key = free_port(), f"sk-{secrets.token_hex(32)}"
    command = [python, "-m", "benchmarks.peers.litellm_gateway"]
    with serving(core, command, port, {"BENCH_PORT": str(port), "LITELLM_MASTER_KEY": key}) as pid:
        bearer = {"Authorization": f"Bearer {key}"}
        yield Served(Target.of(port, "/v1/chat/completions", CHAT, bearer, accepted=200), pid)


def has_litellm(python: str) -> bool:
    found = subprocess.run([python, "-c", "import litellm"], capture_output=True, check=False)
    return found.returncode == 0


def prepare(url: str) -> int:
    """The store as it is in service, and its pid: a worker has said what its model takes."""
    store = Store.connect(Settings(redis_url=url))
    try:
        store.client.config_set("auto-aof-rewrite-percentage", 0)
        store.run(calls.join("w", MODEL, 1, "{}", ModelFacts(context_tokens=32_768)))
        store.run(calls.leave("w", MODEL))
        return int(store.client.info("server")["process_id"])
    finally:
        store.close()
