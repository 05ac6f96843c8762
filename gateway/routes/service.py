"""The service itself: models, workers, health, and what orchestrators ask."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from redis.exceptions import RedisError

from gateway.caller import Observer, Reader
from gateway.health import health as health_of
from gateway.state import Here
from quill.errors import StoreUnavailable, Unavailable

router = APIRouter(tags=["service"])

_READY_S = 2.0


@router.get("/v1/models")
async def models(_: Reader, here: Here) -> dict[str, Any]:
    snapshot = here.directory.snapshot
    names = {here.settings.default_model, *here.settings.models, *snapshot.models}
    return {"object": "list", "data": [_model(here, name) for name in sorted(names)]}


def _model(here: Here, name: str) -> dict[str, Any]:
    model = here.directory.snapshot.models.get(name)
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "quill",
        "context_tokens": model.facts.context_tokens if model and model.facts else None,
        "slots": model.capacity if model else 0,
        "waiting": model.waiting if model else 0,
        "workers": sum(worker.model == name for worker in here.directory.snapshot.workers),
    }


@router.get("/v1/workers")
async def workers(_: Observer, here: Here) -> dict[str, Any]:
    return {"object": "list", "data": [asdict(worker) for worker in here.directory.snapshot.workers]}


@router.get("/v1/health")
async def health(_: Observer, here: Here) -> dict[str, Any]:
    with suppress(Unavailable):  # which is what the answer then says
        await here.directory.refresh(no_sooner_than_s=0.25)
    return health_of(here.directory.snapshot, here.settings, is_store_up=here.directory.is_reachable)


@router.get("/healthz")
async def alive() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz")
async def ready(here: Here) -> dict[str, str]:
    try:
        async with asyncio.timeout(_READY_S):
            await here.store.client.ping()
    except (RedisError, TimeoutError) as error:
        raise StoreUnavailable from error
    return {"status": "ok"}
