"""kombu's Redis transport, except that an entry which is no ticket is dropped and counted.

Stock Celery ends its process at the first list entry that it cannot decode, or at one odd field of it, so one
LPUSH of garbage would stop a fleet.
"""

from __future__ import annotations

import json
import time
from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis
from redis.exceptions import ResponseError

from quill.broker import RUN_TASK, parse_ticket, ticket

_log = structlog.get_logger(__name__)


class DroppedTickets:
    """How many entries this process has dropped since it started."""

    count = 0


class Reception:
    """Whether this process still asks for tickets; once it is over it stays so."""

    is_over = False
    #: A request is out, so a ticket may still come.
    is_waiting = False
    #: When the last request was answered, with a ticket or without; by `time.monotonic`.
    answered_s = 0.0


def decoded_ticket(entry: bytes | str, queue: str) -> dict[str, Any] | None:
    """The message, or ``None`` for an entry that no worker of ours could run.

    Only the task's id is taken from the entry; whatever else stands there, Celery sees what we would write.
    """
    try:
        headers = json.loads(entry)["headers"]
        task, task_id = headers["task"], headers["id"]
        parse_ticket(task_id)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return ticket(task_id, queue) if task == RUN_TASK else None


class Channel(redis.Channel):
    #: What was received is with the pool already. kombu would put it back at every loss of the broker, over a
    #: connection that it then leaves open, or into a file in the temporary folder.
    do_restore = False

    def _queue_bind(self, *_: Any) -> None:
        """Writes nothing: only kombu's publishers look bindings up, and tickets come from scripts.

        At maxmemory that write would be refused, which ends a worker that connects just then.
        """

    def _size(self, queue: str) -> int:
        """Without MULTI, in which a full Redis, other than Valkey, takes not even a question."""
        with self.conn_or_acquire() as client:
            steps = client.pipeline(transaction=False)
            for priority in self.priority_steps:
                steps.llen(self._q_for_pri(queue, priority))
            return sum(steps.execute())

    def _brpop_start(self, timeout: float | None = None) -> None:
        if not Reception.is_over:
            super()._brpop_start(timeout)
        # Also once it is over: kombu gives up a request whose answer does not come, and says so nowhere else.
        Reception.is_waiting = bool(self._in_poll)

    def _brpop_read(self, **options: Any) -> bool:
        """As kombu 5.7 does it, with a check between reading an entry and delivering it."""
        try:
            try:
                reply = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                # The next round reconnects only if this connection is closed.
                self.client.connection.disconnect()
                raise
            if not reply:
                raise Empty
            queue = reply[0].decode().rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            message = decoded_ticket(reply[1], queue)
            if message is None:
                DroppedTickets.count += 1
                _log.warning("dropped a list entry that is no ticket", action="drop_ticket", queue=queue)
                raise Empty
            self.connection._deliver(message, queue)
            return True
        finally:
            self._in_poll = None
            Reception.is_waiting = False
            Reception.answered_s = time.monotonic()
            self._flush_brpop_reauth()


#: A broker that refuses, because it just became a replica or is full, is like one that is away: Celery would
#: call it unrecoverable and end the process.
CONNECTION_ERRORS = (*redis.Transport.connection_errors, ResponseError)


class Transport(redis.Transport):
    Channel = Channel
    connection_errors = CONNECTION_ERRORS
