"""Each way in which the proxy breaks a connection does what it says."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from quill.chaos.proxy import HEALTHY, FaultProxy, Toxic
from tests.valkey import ValkeyServer


@pytest.fixture
def proxy(valkey: ValkeyServer) -> Iterator[FaultProxy]:
    proxy = FaultProxy(valkey.port)
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[redis.Redis]:
    """Whose connection is open already."""
    with redis.Redis(port=proxy.port, socket_timeout=0.5, retry=Retry(NoBackoff(), 0)) as client:
        client.ping()
        yield client


def test_a_healthy_proxy_passes_everything(client: redis.Redis, proxy: FaultProxy) -> None:
    client.set("k", "x" * 1_000_000)
    assert len(client.get("k") or b"") == 1_000_000
    assert (proxy.cut, proxy.dropped_bytes, proxy.delayed_bytes) == (0, 0, 0)


def test_latency_delays_every_reply(client: redis.Redis, proxy: FaultProxy) -> None:
    proxy.toxic = Toxic(latency_s=0.05)
    began_s = time.monotonic()
    client.ping()
    assert time.monotonic() - began_s >= 0.1
    assert proxy.delayed_bytes > 0


def test_a_blackhole_swallows_requests(client: redis.Redis, proxy: FaultProxy, valkey: ValkeyServer) -> None:
    proxy.toxic = Toxic(is_blackhole=True)
    with pytest.raises(redis.TimeoutError):
        client.set("k", "v")
    with valkey.client() as direct:
        assert direct.get("k") is None
    assert proxy.dropped_bytes > 0


@pytest.mark.parametrize("toxic", [Toxic(drops_replies=True), Toxic(cuts_replies=True)])
def test_a_lost_reply_leaves_the_request_done(
    client: redis.Redis, proxy: FaultProxy, valkey: ValkeyServer, toxic: Toxic
) -> None:
    proxy.toxic = toxic
    with pytest.raises((redis.TimeoutError, redis.ConnectionError)):
        client.set("k", "v")
    with valkey.client() as direct:
        assert direct.get("k") == b"v"
    assert proxy.cut + proxy.dropped_bytes > 0


def test_a_reset_ends_open_connections(proxy: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=2) as raw:
        raw.sendall(b"PING\r\n")
        assert raw.recv(100) == b"+PONG\r\n"
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            raw.recv(100)


def test_after_the_healing_everything_passes(client: redis.Redis, proxy: FaultProxy) -> None:
    proxy.toxic = Toxic(cuts_replies=True)
    with pytest.raises(redis.ConnectionError):
        client.ping()
    proxy.toxic = HEALTHY
    assert client.ping()


def test_a_proxy_that_stops_closes_connections_that_just_arrive(valkey: ValkeyServer) -> None:
    for _ in range(20):
        proxy = FaultProxy(valkey.port)
        proxy.start()
        arriving = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(20)]
        proxy.stop()
        for connection in arriving:
            connection.close()
    gc.collect()  # what was left open warns here, and a warning fails
