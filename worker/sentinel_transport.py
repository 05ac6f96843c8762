"""`worker.transport` to the master that the sentinels name, anew at each connection."""

from __future__ import annotations

from kombu.transport import redis

from quill.store.sentinel import Connection
from worker import transport


class Channel(transport.Channel, redis.SentinelChannel):
    connection_class = Connection


class Transport(redis.SentinelTransport):
    Channel = Channel
