"""A gateway in the test's own process, so that a test can look into it and change it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastapi import FastAPI

from gateway.app import create_app
from quill.settings import GatewaySettings
from tests.valkey import ValkeyServer


@asynccontextmanager
async def in_process(valkey: ValkeyServer, **settings: Any) -> AsyncIterator[FastAPI]:
    app = create_app(GatewaySettings(redis_url=valkey.url, auth="off", **settings))
    async with app.router.lifespan_context(app):
        yield app


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://gateway")
