"""Scripts that several callers ask for at the same time go to the store in one write."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from quill.store.call import Argument, Call, script
from quill.store.held import HeldConnection

#: Batches under way at once, each on a connection: while one is on its way, the next is collected.
SENDERS = 4
#: Calls of a batch at most, so that no caller waits long for others' replies. Who asks for more at once
#: has a batch of its own.
_BATCH = 8


@dataclass(slots=True)
class _Asked:
    calls: Sequence[Call[Any]]
    replies: asyncio.Future[list[Any]]


@dataclass(slots=True)
class Evaluations:
    """``pool`` is its own, a connection a sender, without a timeout: ``timeout_s`` bounds a whole batch.

    redis-py would start a task for each write and a timer for each reply.
    """

    pool: redis.asyncio.ConnectionPool
    retry: Retry
    namespace: str
    timeout_s: float
    _waiting: deque[_Asked] = field(default_factory=deque)
    _senders: set[asyncio.Task[None]] = field(default_factory=set)

    async def replies_to(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """What the scripts answer, in order and in one round trip; an answer may be an error.

        Raises ``RedisError`` when there are none.
        """
        asked = _Asked(calls, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if len(self._senders) < self.pool.max_connections:
            self._senders.add(asyncio.create_task(self._send()))
        return await asked.replies

    async def close(self) -> None:
        """Who still waits gets an error. A sender that went on would connect anew and ask once more."""
        senders = list(self._senders)
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        self._senders.clear()
        _hand_over(self._waiting, _stopped())
        self._waiting.clear()
        await self.pool.disconnect()

    async def _send(self) -> None:
        try:
            while self._waiting:
                await self._answer(self._next_batch())
        finally:
            # At once: whoever is asked for from here on needs another sender.
            self._senders.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _answer(self, batch: Sequence[_Asked]) -> None:
        replies: list[Any] | RedisError = _stopped()
        try:
            replies = await self._evaluated([call for asked in batch for call in asked.calls])
        except RedisError as error:
            replies = error
        finally:
            _hand_over(batch, replies)

    def _next_batch(self) -> list[_Asked]:
        batch: list[_Asked] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].calls) <= _BATCH):
            asked = self._waiting.popleft()
            # Whoever has gone by now wants no answer, and a script that nobody asks for need not run.
            if not asked.replies.done():
                batch.append(asked)
                size += len(asked.calls)
        return batch

    async def _evaluated(self, calls: Sequence[Call[Any]]) -> list[Any]:
        if not calls:
            return []
        replies = await self._exchanged([self._evaluation(call) for call in calls])
        missing = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missing:
            names = {calls[place].script for place in missing}
            loads = [_packed("SCRIPT", "LOAD", script(name).text) for name in names]
            again = await self._exchanged([*loads, *(self._evaluation(calls[place]) for place in missing)])
            for place, reply in zip(missing, again[len(loads) :], strict=True):
                replies[place] = reply
        return replies

    def _evaluation(self, call: Call[Any]) -> bytes:
        return _packed("EVALSHA", script(call.script).sha, 1, self.namespace, *call.arguments)

    async def _exchanged(self, commands: Sequence[bytes]) -> list[Any]:
        held = HeldConnection(self.pool)
        try:
            return await self.retry.call_with_retry(lambda: self._exchange(held, commands), held.drop)
        finally:
            await held.give_back()

    async def _exchange(self, held: HeldConnection, commands: Sequence[bytes]) -> list[Any]:
        """One try."""
        try:
            async with asyncio.timeout(self.timeout_s):
                connection = await held.connected()
                await connection.send_packed_command(b"".join(commands))
                return [await _reply_on(connection) for _ in commands]
        except TimeoutError as error:
            raise RedisTimeoutError from error


def _packed(*command: Argument) -> bytes:
    """By hiredis, as redis-py does it in Python."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub takes one of them
    return packed


def _stopped() -> RedisError:
    return RedisError("the sender was stopped")


async def _reply_on(connection: redis.asyncio.Connection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _hand_over(batch: Sequence[_Asked], replies: list[Any] | RedisError) -> None:
    """To each its own; who has gone meanwhile gets nothing."""
    first = 0
    for asked in batch:
        last = first + len(asked.calls)
        if not asked.replies.done():
            if isinstance(replies, RedisError):
                asked.replies.set_exception(replies)
            else:
                asked.replies.set_result(replies[first:last])
        first = last
