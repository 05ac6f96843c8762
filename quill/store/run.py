"""The two drivers of a call, over a blocking and an asyncio client; library errors become ours here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError
from redis.retry import Retry

from quill.errors import QueueFull, QuillError, StoreUnavailable
from quill.keys import Keys
from quill.settings import Settings
from quill.store.call import Call, script
from quill.store.evaluations import SENDERS, Evaluations
from quill.store.sentinel import async_blocking_pool, blocking_pool

T = TypeVar("T")

#: Every script may be repeated, so a lost reply is asked for again; more would keep a caller waiting.
_RETRIES = 1


def translated(error: RedisError) -> QuillError:
    """Ours for the library's: the store is full, or it does not answer as it should."""
    if isinstance(error, OutOfMemoryError):
        return QueueFull(retry_after_s=5.0)
    return StoreUnavailable(retry_after_s=1.0)


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=0.05, cap=0.5)


def _options(settings: Settings, timeout_s: float | None, max_connections: int) -> dict[str, Any]:
    bound_s = timeout_s or settings.store_timeout_s
    return {
        "max_connections": max_connections,
        "timeout": bound_s,
        "socket_timeout": bound_s,
        "socket_connect_timeout": min(bound_s, 2.0),
        "socket_keepalive": True,
        "health_check_interval": 0,
    }


@dataclass(frozen=True, slots=True)
class Store:
    """The store over a blocking client."""

    client: redis.Redis
    keys: Keys

    @classmethod
    def connect(
        cls, settings: Settings, *, timeout_s: float | None = None, max_connections: int = 4
    ) -> Store:
        options = _options(settings, timeout_s, max_connections)
        options["retry"] = Retry(_backoff(), _RETRIES)
        pool = (
            blocking_pool(settings.sentinel, **options)
            if settings.sentinel
            else redis.BlockingConnectionPool.from_url(settings.redis_url, **options)
        )
        return cls(redis.Redis(connection_pool=pool), settings.keys)

    def run(self, call: Call[T]) -> T:
        """Raises ``StoreUnavailable`` or ``QueueFull``, or what the script's refusal stands for."""
        lua = script(call.script)
        try:
            try:
                reply = self.client.evalsha(lua.sha, 1, self.keys.namespace, *call.arguments)
            except NoScriptError:
                reply = self.client.eval(lua.text, 1, self.keys.namespace, *call.arguments)
        except RedisError as error:
            raise translated(error) from error
        return call.answer(reply)

    def close(self) -> None:
        self.client.close()
        self.client.connection_pool.disconnect()


def _async_pool(settings: Settings, options: Mapping[str, Any]) -> redis.asyncio.BlockingConnectionPool:
    if settings.sentinel:
        return async_blocking_pool(settings.sentinel, **options)
    return redis.asyncio.BlockingConnectionPool.from_url(settings.redis_url, **options)


@dataclass(frozen=True, slots=True)
class AsyncStore:
    """The store over an asyncio client."""

    client: redis.asyncio.Redis
    keys: Keys
    evaluations: Evaluations

    @classmethod
    def connect(
        cls, settings: Settings, *, timeout_s: float | None = None, max_connections: int = 32
    ) -> AsyncStore:
        options = _options(settings, timeout_s, max_connections)
        options["retry"] = retry = AsyncRetry(_backoff(), _RETRIES)
        own = options | {"max_connections": min(SENDERS, max_connections), "socket_timeout": None}
        evaluations = Evaluations(
            _async_pool(settings, own), retry, settings.keys.namespace, options["socket_timeout"]
        )
        client = redis.asyncio.Redis(connection_pool=_async_pool(settings, options))
        return cls(client, settings.keys, evaluations)

    async def run(self, call: Call[T]) -> T:
        """Raises ``StoreUnavailable`` or ``QueueFull``, or what the script's refusal stands for."""
        try:
            (reply,) = await self.evaluations.replies_to([call])
            if isinstance(reply, RedisError):
                raise reply
        except RedisError as error:
            raise translated(error) from error
        return call.answer(reply)

    async def run_each(self, wanted: Sequence[Call[T]]) -> list[T | QuillError]:
        """All in one round trip; a refusal is an entry. Raises ``Unavailable``."""
        try:
            replies = await self.evaluations.replies_to(wanted)
        except RedisError as error:
            raise translated(error) from error
        answers: list[T | QuillError] = []
        for call, reply in zip(wanted, replies, strict=True):
            try:
                answers.append(translated(reply) if isinstance(reply, RedisError) else call.answer(reply))
            except QuillError as refusal:
                answers.append(refusal)
        return answers

    async def close(self) -> None:
        await self.evaluations.close()
        await self.client.aclose()
        await self.client.connection_pool.disconnect()
