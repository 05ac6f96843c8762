"""How long anything waits for the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import RedisError

from quill.errors import StoreUnavailable
from quill.settings import Settings
from quill.store.run import translated

#: Added to the store's own timeout for a connection that must be made first.
_CONNECT_S = 2.0


@asynccontextmanager
async def patience(settings: Settings) -> AsyncIterator[None]:
    """Bounds what is done with the store, the client's retries and its wait for a connection included.

    Raises ``Unavailable`` for the client's own errors and when the time is over.
    """
    try:
        async with asyncio.timeout(settings.store_timeout_s + _CONNECT_S):
            yield
    except RedisError as error:
        raise translated(error) from error
    except TimeoutError as error:
        raise StoreUnavailable from error
