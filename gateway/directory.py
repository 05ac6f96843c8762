"""What the store knows of models and workers, cached: no request waits for it in the steady state."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from gateway.patience import patience
from quill.errors import Unavailable
from quill.memory import remember
from quill.pricing import CountTokens, ModelFacts, tokenizer_count
from quill.settings import GatewaySettings
from quill.store.run import AsyncStore

_log = structlog.get_logger(__name__)

REFRESH_S = 1.0
_TOKENIZERS_KEPT = 8


@dataclass(frozen=True, slots=True)
class Worker:
    id: str
    model: str
    slots: int
    silent_s: float
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    facts: ModelFacts | None
    capacity: int
    waiting: int
    recent: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    models: Mapping[str, Model] = field(default_factory=dict)
    workers: tuple[Worker, ...] = ()


class Directory:
    def __init__(self, store: AsyncStore, settings: GatewaySettings) -> None:
        self._store = store
        self._settings = settings
        self._refreshed_s = float("-inf")
        self._lock = asyncio.Lock()
        self._counters: dict[str, CountTokens | None] = {}
        self.snapshot = Snapshot()
        self.is_reachable = False

    async def keep_fresh(self) -> float:
        """One refresh. Raises ``Unavailable``."""
        await self.refresh()
        return REFRESH_S

    async def facts(self, name: str) -> ModelFacts | None:
        """What the model's workers published, asked for if it is not known yet. Raises ``Unavailable``."""
        model = self.snapshot.models.get(name)
        if model and model.facts:
            return model.facts
        # Its first worker may have joined since the last refresh, and no prompt is accepted that cannot fit.
        async with patience(self._settings):
            fields: Any = await self._store.client.hgetall(self._store.keys.model(name))
        return _facts(fields)

    async def refresh(self, no_sooner_than_s: float = 0.0) -> None:
        """Does nothing so soon after the last one. Raises ``Unavailable``."""
        async with self._lock:
            if time.monotonic() - self._refreshed_s < no_sooner_than_s:
                return
            try:
                async with patience(self._settings):
                    self.snapshot = await self._read()
                self.is_reachable = True
            except Unavailable:
                self.is_reachable = False
                raise
            finally:
                # Its end: those who waited here while the store hung must not try one after the other.
                self._refreshed_s = time.monotonic()

    async def _read(self) -> Snapshot:
        client, keys = self._store.client, self._store.keys
        async with client.pipeline(transaction=False) as pipe:
            pipe.smembers(keys.models)
            pipe.zrange(keys.seen, 0, -1)
            pipe.time()
            model_names, worker_ids, now = await pipe.execute()
        names = sorted(name.decode() for name in model_names)
        ids = [worker_id.decode() for worker_id in worker_ids]
        async with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(keys.model(name))
                pipe.lrange(keys.recent(name), 0, -1)
            for worker_id in ids:
                pipe.hgetall(keys.worker(worker_id))
            replies = await pipe.execute()
        models = {name: _model(name, replies[2 * i], replies[2 * i + 1]) for i, name in enumerate(names)}
        now_ms = now[0] * 1000 + now[1] / 1000
        workers = (
            _worker(worker_id, fields, now_ms)
            for worker_id, fields in zip(ids, replies[2 * len(names) :], strict=True)
            if fields
        )
        return Snapshot(models, tuple(workers))

    async def counter(self, digest: str) -> CountTokens | None:
        """The published tokenizer's count, ``None`` if there is none. Raises ``Unavailable``."""
        if not digest:
            return None
        if digest not in self._counters:
            async with patience(self._settings):
                packed: Any = await self._store.client.get(self._store.keys.tokenizer(digest))
            if packed is None:
                return None
            counter = await asyncio.to_thread(_unpacked, packed)
            remember(self._counters, digest, counter, at_most=_TOKENIZERS_KEPT)
        return self._counters[digest]


def _unpacked(packed: bytes) -> CountTokens | None:
    try:
        return tokenizer_count(zlib.decompress(packed))
    except Exception as error:  # the tokenizers library raises nothing narrower
        _log.warning(
            "a published tokenizer cannot be read",
            action="tokenizer_unreadable",
            error_type=type(error).__name__,
        )
        return None


def _model(name: str, fields: dict[bytes, bytes], recent: list[bytes]) -> Model:
    ends = [_object(entry) for entry in recent]
    return Model(
        name=name,
        facts=_facts(fields),
        capacity=int(fields.get(b"capacity", 0)),
        waiting=int(fields.get(b"waiting", 0)),
        recent=tuple(end for end in ends if end),
    )


def _facts(fields: dict[bytes, bytes]) -> ModelFacts | None:
    try:
        return ModelFacts.of(fields)
    except ValueError:
        return None


def _worker(worker_id: str, fields: dict[bytes, bytes], now_ms: float) -> Worker:
    return Worker(
        id=worker_id,
        model=fields.get(b"model", b"").decode(),
        slots=int(fields.get(b"slots", 0)),
        silent_s=round(max(now_ms - float(fields.get(b"seen", 0)), 0) / 1000, 3),
        report=_object(fields.get(b"report", b"{}")),
    )


def _object(text: bytes) -> dict[str, Any]:
    """What a worker wrote, which may be of another version: no object, no report."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
