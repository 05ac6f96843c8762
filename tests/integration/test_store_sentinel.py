"""Connections by way of sentinels: as bounded as plain ones, and whichever of the three is left."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from quill.errors import StoreUnavailable
from quill.settings import Settings
from quill.store import calls
from quill.store.run import AsyncStore, Store
from quill.store.sentinel import BlockingPool
from tests.sentinels import Watched

CALLERS = 8


def ours(watched: Watched) -> int:
    """Connections to the master, but for its replica's and the sentinels'."""
    with watched.stores[0].client() as client:
        return sum(one["db"] == "2" for one in client.client_list())


async def sweep_at_once(settings: Settings, watched: Watched) -> int:
    store = AsyncStore.connect(settings, max_connections=2)
    await asyncio.gather(*(store.run(calls.sweep()) for _ in range(CALLERS)))
    opened = ours(watched)
    await store.close()
    return opened


def test_callers_wait_for_a_connection_and_closing_leaves_none(watched: Watched) -> None:
    settings = Settings(redis_url=watched.url)
    store = Store.connect(settings, max_connections=2)
    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(lambda _: store.run(calls.sweep()), range(CALLERS * 4)))
    assert 1 <= ours(watched) <= 2
    store.close()
    assert ours(watched) == 0
    assert 1 <= asyncio.run(sweep_at_once(settings, watched)) <= 2
    assert ours(watched) == 0


def test_the_last_sentinel_suffices_and_is_found_without_long_pauses(watched: Watched) -> None:
    for sentinel in watched.sentinels[:2]:
        sentinel.kill()
    began_s = time.monotonic()
    for _ in range(4):  # the library's own pauses would be drawn from up to seven seconds for each of both
        store = Store.connect(Settings(redis_url=watched.url), max_connections=1)
        store.run(calls.sweep())
        store.close()
    assert time.monotonic() - began_s < 3


def test_what_is_connected_serves_on_without_any_sentinel(watched: Watched) -> None:
    store = Store.connect(Settings(redis_url=watched.url), max_connections=1)
    store.run(calls.sweep())
    for sentinel in watched.sentinels:
        sentinel.kill()
    time.sleep(1.1)  # so that the pool asks again
    store.run(calls.sweep())
    store.close()


def test_an_outage_leaves_nothing_behind_in_the_pool() -> None:
    settings = Settings(redis_url="sentinel://127.0.0.1:1,127.0.0.1:2/0?service=quill-store")
    store = Store.connect(settings, max_connections=2)
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            store.run(calls.sweep())
    pool = store.client.connection_pool
    assert isinstance(pool, BlockingPool)
    assert len(pool._connections) <= 2
    store.close()
