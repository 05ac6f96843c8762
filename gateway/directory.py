"""Which models and workers there are: a copy of what the store knows, at most about a second old."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quill.errors import ModelNotFound, QuillError
from quill.pricing import ModelFacts
from quill.settings import SILENT_MS, GatewaySettings
from quill.store.run import AsyncStore, translated
from redis.exceptions import RedisError

#: Pause between two refreshes.
_REFRESH_S = 1.0
#: Refreshes that requests force are this far apart, so that made-up model names cost the store nothing.
_FORCED_APART_S = 0.25


@dataclass(frozen=True, slots=True)
class ModelEntry:
    name: str
    #: ``None`` while no worker ever served it.
    facts: ModelFacts | None = None
    #: Slots of the workers that may get tickets.
    slots: int = 0
    waiting: int = 0
    workers: int = 0
    first_seen_s: int = 0


@dataclass(frozen=True, slots=True)
class WorkerEntry:
    worker_id: str
    model: str
    slots: int
    silent_s: float
    #: What it last said of its health; empty if it said nothing that can be read.
    report: Mapping[str, Any]

    @property
    def is_live(self) -> bool:
        return self.silent_s * 1000 < SILENT_MS


@dataclass(frozen=True, slots=True)
class Snapshot:
    models: Mapping[str, ModelEntry] = field(default_factory=dict)
    workers: tuple[WorkerEntry, ...] = ()

    def live(self, model: str) -> list[WorkerEntry]:
        return [worker for worker in self.workers if worker.model == model and worker.is_live]


class Directory:
    def __init__(self, store: AsyncStore, settings: GatewaySettings) -> None:
        self._store = store
        self._configured = {settings.default_model, *settings.models}
        self._lock = asyncio.Lock()
        self._tried_s = -_FORCED_APART_S
        self._failure: QuillError | None = None
        self._first_seen_s: dict[str, int] = {}
        self.now = Snapshot()

    async def refresh(self) -> float:
        """Answers when the next refresh is due. Raises ``Unavailable``."""
        async with self._lock:
            await self._load()
        return _REFRESH_S

    async def facts_of(self, model: str) -> ModelFacts | None:
        """``None`` for a model that may be asked for but was never served.

        Raises ``ModelNotFound``, and ``Unavailable`` if that cannot be told.
        """
        entry = self.now.models.get(model)
        if entry is None or entry.facts is None:
            await self._force()
            entry = self.now.models.get(model)
        if entry is None:
            raise ModelNotFound
        return entry.facts

    async def _force(self) -> None:
        async with self._lock:
            if time.monotonic() - self._tried_s >= _FORCED_APART_S:
                await self._load()
            elif self._failure is not None:
                raise self._failure

    async def _load(self) -> None:
        self._tried_s = time.monotonic()
        try:
            self.now = await self._read()
        except RedisError as error:
            self._failure = translated(error)
            raise self._failure from error
        self._failure = None

    async def _read(self) -> Snapshot:
        keys = self._store.keys
        async with self._store.client.pipeline(transaction=False) as pipe:
            pipe.smembers(keys.models).zrange(keys.seen, 0, -1, withscores=True).time()
            served, seen, (now_s, now_us) = await pipe.execute()
        now_ms = now_s * 1000 + now_us / 1000
        names = sorted(self._configured | {name.decode() for name in served})
        async with self._store.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(keys.model(name))
            for worker_id, _ in seen:
                pipe.hgetall(keys.worker(worker_id.decode()))
            hashes = await pipe.execute()
        workers = tuple(
            _worker(worker_id.decode(), (now_ms - seen_ms) / 1000, fields)
            for (worker_id, seen_ms), fields in zip(seen, hashes[len(names) :], strict=True)
            if fields
        )
        found = Snapshot(workers=workers)
        models = (
            self._model(name, fields, len(found.live(name)))
            for name, fields in zip(names, hashes, strict=False)
        )
        return Snapshot({entry.name: entry for entry in models}, workers)

    def _model(self, name: str, fields: Mapping[bytes, bytes], workers: int) -> ModelEntry:
        return ModelEntry(
            name=name,
            facts=ModelFacts.of(fields),
            slots=int(fields.get(b"capacity", 0)),
            waiting=int(fields.get(b"waiting", 0)),
            workers=workers,
            first_seen_s=self._first_seen_s.setdefault(name, int(time.time())),
        )


def _worker(worker_id: str, silent_s: float, fields: Mapping[bytes, bytes]) -> WorkerEntry:
    return WorkerEntry(
        worker_id=worker_id,
        model=fields.get(b"model", b"").decode(),
        slots=int(fields.get(b"slots", 0)),
        silent_s=max(silent_s, 0.0),
        report=_report(fields.get(b"report", b"")),
    )


def _report(text: bytes) -> Mapping[str, Any]:
    try:
        report = json.loads(text)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}
