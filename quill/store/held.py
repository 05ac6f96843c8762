"""One connection of a pool, held over the tries of one exchange."""

from __future__ import annotations

from dataclasses import dataclass

import redis.asyncio


@dataclass(slots=True)
class HeldConnection:
    """After a store's restart another from the pool may be as dead as the first."""

    pool: redis.asyncio.ConnectionPool
    _connection: redis.asyncio.Connection | None = None

    async def connected(self) -> redis.asyncio.Connection:
        if self._connection is None:
            self._connection = await self.pool.get_connection()  # type: ignore[no-untyped-call]
        else:
            # With sentinels this asks for the master again, which sending would not.
            await self._connection.connect()  # type: ignore[no-untyped-call]
        return self._connection

    async def drop(self, _: Exception) -> None:
        """After a try that failed: what may still come on it is nobody's answer."""
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    async def give_back(self) -> None:
        if self._connection is not None:
            await self.pool.release(self._connection)
