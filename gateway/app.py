"""The gateway's composition root: everything it is made of is visible here."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog
from fastapi import FastAPI

from gateway import problems
from gateway.access import Access
from gateway.admission import Admission
from gateway.background import keep_doing
from gateway.caller import guarded
from gateway.contract import PROBLEMS, serve_contract
from gateway.directory import Directory
from gateway.events import Events
from gateway.express import Express
from gateway.principals import Principals
from gateway.routes import batch, jobs, letters, service, stream, tenants, webhooks
from gateway.state import Gateway
from gateway.webhooks.sender import sending
from quill.errors import StoreUnavailable
from quill.settings import GatewaySettings
from quill.store import calls
from quill.store.fitness import check_async
from quill.store.run import AsyncStore
from quill.tenancy.registry import Registry
from quill.webhooks.endpoints import Endpoints

_log = structlog.get_logger(__name__)

#: Requests leave no cycles, and what 5,000 readers renew is young again: to look through the young objects is
#: then to look through a hundred thousand of them, 30 ms. Python's own (700, 10, 10) made pauses of 100 ms.
#: What survived is looked through at every fourth time, as much as before; everything at every 22nd of those.
_COLLECT_AFTER = (50_000, 2, 20)
#: The busiest first: they are looked through in this order.
ROUTES = (jobs, stream, batch, letters, service, tenants, webhooks)


async def sweep(gateway: Gateway) -> float:
    """Anyone sweeps; what is overdue waits for nobody in particular."""
    swept = await gateway.run(calls.sweep())
    return swept.next_due_ms / 1000


@asynccontextmanager
async def background(gateway: Gateway) -> AsyncIterator[None]:
    """Runs what the gateway does beside answering."""
    tasks = [
        asyncio.create_task(keep_doing("directory", gateway.directory.keep_fresh)),
        asyncio.create_task(keep_doing("events", gateway.events.read)),
        asyncio.create_task(keep_doing("sweep", partial(sweep, gateway))),
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
            try:
                await check_async(store, settings)
            except StoreUnavailable:
                _log.warning("the store is away; it is not checked", action="store_away")
            # The reader's own: its blocking read holds a connection all the time.
            reading = AsyncStore.connect(settings, max_connections=1)
            stack.push_async_callback(reading.close)
            directory = Directory(store, settings)
            registry = Registry(store)
            principals = Principals(registry, settings)
            app.state.gateway = Gateway(
                settings=settings,
                store=store,
                directory=directory,
                events=Events(reading, settings.store_timeout_s, principals.forget),
                admission=Admission(store, directory, settings),
                principals=principals,
                registry=registry,
                endpoints=Endpoints(store),
            )
            await stack.enter_async_context(background(app.state.gateway))
            if settings.webhooks == "on":
                await stack.enter_async_context(sending(settings))
            # What is here now stays: to look it through takes the collector 13 ms each time.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_COLLECT_AFTER)
            yield

    app = FastAPI(
        title="Quill",
        description="An asynchronous generation service for Qwen models.",
        version="1",
        # Traces are carried by `Access`; to look for a collector at every request costs 50 us.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=lifespan,
        # FastAPI's own makes and writes it anew for everybody who asks.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    for routes in ROUTES:
        app.include_router(guarded(routes.router), responses=PROBLEMS)
    serve_contract(app)
    app.add_middleware(Express, routes=[("POST", jobs.submit), ("GET", jobs.poll), ("GET", stream.follow)])
    app.add_middleware(Access)
    return app
