"""Scripts that several callers ask for at the same time go to the store in one write."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import hiredis
import redis.asyncio
from redis.exceptions import NoScriptError, RedisError

from quill.store.call import Call, script

#: Batches under way at once: while one is on its way, the next is collected.
_SENDERS = 4
#: Calls of a batch at most, so that no caller waits long for the others' replies.
_BATCH = 8


class PackedConnection(redis.asyncio.Connection):
    """Commands are written by hiredis, which reads the replies as well; redis-py does it in Python."""

    def pack_command(self, *args: Any) -> list[bytes]:
        name, *rest = args
        return [hiredis.pack_command((*name.split(), *rest))]


@dataclass(slots=True)
class _Asked:
    call: Call[Any]
    reply: asyncio.Future[Any]


@dataclass(slots=True)
class Evaluations:
    client: redis.asyncio.Redis
    namespace: str
    _waiting: deque[_Asked] = field(default_factory=deque)
    _senders: set[asyncio.Task[None]] = field(default_factory=set)

    async def reply_to(self, call: Call[Any]) -> Any:
        """What the script answers. Raises ``RedisError``."""
        asked = _Asked(call, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if len(self._senders) < _SENDERS:
            sender = asyncio.create_task(self._send())
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        return await asked.reply

    async def _send(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            # Whoever has gone by now wants no answer, and a script that nobody asks for need not run.
            batch = [asked for asked in batch if not asked.reply.done()]
            replies: Sequence[Any] = [RedisError("the sender was stopped")] * len(batch)
            try:
                replies = await self.evaluate([asked.call for asked in batch])
            except RedisError as error:
                replies = [error] * len(batch)
            finally:
                for asked, reply in zip(batch, replies, strict=True):
                    _hand_over(asked.reply, reply)

    async def evaluate(self, calls: Sequence[Call[Any]]) -> list[Any]:
        """Replies in order; a reply may be an error. Raises ``RedisError`` when there are none."""
        replies = await self._evaluated(calls)
        missing = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missing:
            for name in {calls[place].script for place in missing}:
                await self.client.script_load(script(name).text)
            again = await self._evaluated([calls[place] for place in missing])
            for place, reply in zip(missing, again, strict=True):
                replies[place] = reply
        return replies

    async def _evaluated(self, calls: Sequence[Call[Any]]) -> list[Any]:
        if not calls:
            return []
        async with self.client.pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.evalsha(script(call.script).sha, 1, self.namespace, *call.arguments)
            return await pipe.execute(raise_on_error=False)


def _hand_over(waiting: asyncio.Future[Any], reply: Any) -> None:
    if waiting.done():
        return
    if isinstance(reply, BaseException):
        waiting.set_exception(reply)
    else:
        waiting.set_result(reply)
