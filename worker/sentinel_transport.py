"""`worker.transport`, to the master that the sentinels name."""

from __future__ import annotations

from kombu.transport import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from quill.store.sentinel import Lookout
from worker import transport


class Channel(Lookout, transport.Channel, redis.SentinelChannel):
    def _brpop_start(self, timeout: float | None = None) -> None:
        """Asks now and then who the master is, as the store's pools do."""
        if self.is_look_due() and self._has_moved():
            self.client.connection.disconnect()
            raise RedisConnectionError("another server is the master now")
        super()._brpop_start(timeout)

    def _has_moved(self) -> bool:
        connection = self.client.connection
        try:
            master = self.client.connection_pool.get_master_address()
        except RedisConnectionError:
            return False
        return bool((connection.host, connection.port) != master)


class Transport(redis.SentinelTransport):
    Channel = Channel
    connection_errors = transport.CONNECTION_ERRORS
