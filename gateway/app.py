"""The gateway's composition root: everything it is made of is visible here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from fastapi import FastAPI

from gateway import problems
from gateway.access import Access
from gateway.admission import Admission
from gateway.directory import Directory
from gateway.events import Events
from gateway.routes import jobs, service, stream
from gateway.state import Gateway
from quill.errors import Unavailable
from quill.settings import GatewaySettings
from quill.store import calls
from quill.store.run import AsyncStore

_log = structlog.get_logger(__name__)

_RETRY_S = 1.0


async def sweep_forever(store: AsyncStore) -> None:
    """Anyone sweeps; what is overdue waits for nobody in particular."""
    is_away = False
    while True:
        try:
            sweep = await store.run(calls.sweep())
        except Unavailable:
            if not is_away:
                _log.warning("cannot sweep, the store is away", action="sweep_away")
            is_away = True
            await asyncio.sleep(_RETRY_S)
        else:
            is_away = False
            await asyncio.sleep(sweep.next_due_ms / 1000)


@asynccontextmanager
async def background(gateway: Gateway) -> AsyncIterator[None]:
    """Runs what the gateway does beside answering."""
    tasks = [
        asyncio.create_task(gateway.directory.keep_fresh(), name="directory"),
        asyncio.create_task(gateway.events.read(), name="events"),
        asyncio.create_task(sweep_forever(gateway.store), name="sweep"),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def create_app(settings: GatewaySettings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            store = AsyncStore.connect(settings)
            stack.push_async_callback(store.close)
            directory = Directory(store)
            app.state.gateway = Gateway(
                settings=settings,
                store=store,
                directory=directory,
                events=Events(store),
                admission=Admission(store, directory, settings),
            )
            await stack.enter_async_context(background(app.state.gateway))
            yield

    app = FastAPI(
        title="Quill",
        description="An asynchronous generation service for Qwen models.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    for routes in (stream, jobs, service):
        app.include_router(routes.router)
    app.add_middleware(Access)
    return app
