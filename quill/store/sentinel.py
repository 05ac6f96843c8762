"""Pools whose connections lead to the master of the moment, bounded and blocking like the plain ones."""

from __future__ import annotations

import copy
import time
from contextlib import suppress
from typing import Any

import redis.asyncio.sentinel
import redis.sentinel

from quill.address import SentinelAddress
from quill.broker import sentinel_options

#: A master that hands over goes on answering for ten seconds more, until a sentinel makes it a replica;
#: what is written to it by then is lost. So every pool asks so often who the master is.
_LOOK_S = 1.0


class Lookout:
    """Says when to ask the sentinels again. Whoever is told so does it; the others go on meanwhile."""

    _look_at_s = 0.0

    def is_look_due(self) -> bool:
        now_s = time.monotonic()
        is_due = now_s >= self._look_at_s
        if is_due:
            self._look_at_s = now_s + _LOOK_S
        return is_due


class Sentinels(redis.sentinel.Sentinel):
    def discover_master(self, service_name: str) -> tuple[str, int]:
        """The library reorders its list in place; two threads that do so at once would lose a sentinel."""
        asked = copy.copy(self)
        asked.sentinels = list(self.sentinels)
        found: tuple[str, int] = super(Sentinels, asked).discover_master(service_name)
        self.sentinels = asked.sentinels
        return found


class AsyncSentinels(redis.asyncio.sentinel.Sentinel):
    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """As in ``Sentinels``, with tasks for threads."""
        asked = copy.copy(self)
        asked.sentinels = list(self.sentinels)
        found: tuple[str, int] = await super(AsyncSentinels, asked).discover_master(service_name)
        self.sentinels = asked.sentinels
        return found


class BlockingPool(Lookout, redis.sentinel.SentinelConnectionPool, redis.BlockingConnectionPool):
    """Of the two, each has one half: where the master is, and that a caller waits for a free connection."""

    def get_connection(self, *args: Any, **options: Any) -> Any:
        if self.is_look_due():
            # What is connected may serve without sentinels; who connects anew learns of it soon enough.
            with suppress(redis.RedisError):
                self.get_master_address()
        return super().get_connection(*args, **options)

    def owns_connection(self, connection: Any) -> bool:
        """Every one of this process. The library throws away what found no master and keeps a reference."""
        return bool(redis.BlockingConnectionPool.owns_connection(self, connection))

    def release(self, connection: Any) -> None:
        if (connection.host, connection.port) != self.master_address:
            connection.disconnect()
        super().release(connection)

    def disconnect(self, inuse_connections: bool = True) -> None:
        super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                sentinel.close()


class AsyncBlockingPool(
    Lookout, redis.asyncio.sentinel.SentinelConnectionPool, redis.asyncio.BlockingConnectionPool
):
    """As ``BlockingPool``."""

    async def get_connection(self, *args: Any, **options: Any) -> Any:
        if self.is_look_due():
            with suppress(redis.RedisError):
                await self.get_master_address()
        return await super().get_connection(*args, **options)

    async def release(self, connection: Any) -> None:
        if (connection.host, connection.port) != self.master_address:
            await connection.disconnect()
        await super().release(connection)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


def _login(address: SentinelAddress) -> dict[str, Any]:
    return {"db": address.db, "username": address.username, "password": address.password}


def blocking_pool(address: SentinelAddress, **options: Any) -> BlockingPool:
    """``options`` as ``redis.BlockingConnectionPool`` takes them."""
    sentinels = Sentinels(address.sentinels, sentinel_kwargs=sentinel_options(address))
    return BlockingPool(address.service, sentinels, **_login(address), **options)


def async_blocking_pool(address: SentinelAddress, **options: Any) -> AsyncBlockingPool:
    """``options`` as ``redis.asyncio.BlockingConnectionPool`` takes them."""
    sentinels = AsyncSentinels(address.sentinels, sentinel_kwargs=sentinel_options(address))
    return AsyncBlockingPool(address.service, sentinels, **_login(address), **options)
