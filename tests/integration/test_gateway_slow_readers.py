"""Readers that are slower than what is written to them, or read nothing at all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from gateway.__main__ import config_of
from quill.pricing import ModelFacts
from quill.settings import GatewaySettings
from quill.store import calls
from quill.store.attempt import Chunk
from quill.store.run import Store
from tests.integration.jobs import ticket
from tests.processes import eventually
from tests.valkey import ValkeyServer

MODEL = "quill-tiny"
PIECE_BYTES = 500_000
PIECES = 24


@pytest.fixture
def served(valkey: ValkeyServer) -> Iterator[tuple[FastAPI, uvicorn.Server]]:
    """In this process, so that what it holds can be looked at."""
    settings = GatewaySettings(redis_url=valkey.url, port=0, auth="off", write_stall_s=1.0, keep_alive_s=0.2)
    config = config_of(settings)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started)
    assert isinstance(config.app, FastAPI)
    yield config.app, server
    server.should_exit = True
    thread.join(10)


def port_of(server: uvicorn.Server) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


def listen(server: uvicorn.Server, job_id: str) -> socket.socket:
    """A reader of a job's events whose own buffer is small."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    reader.settimeout(20)
    reader.connect(("127.0.0.1", port_of(server)))
    reader.sendall(f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return reader


def flood(store: Store, server: uvicorn.Server) -> str:
    """A job that has written more than all the buffers on the way to a reader take."""
    store.run(calls.join("w", MODEL, 1, "{}", ModelFacts(1000)))
    url = f"http://127.0.0.1:{port_of(server)}/v1/jobs"
    job_id: str = httpx2.post(url, json={"prompt": "x", "stream": True}).json()["id"]
    held = store.run(calls.claim(*eventually(lambda: ticket(store, MODEL)), "w", "token"))
    text = '{"text":"' + "x" * PIECE_BYTES + '"}'
    for number in range(1, PIECES + 1):
        store.run(calls.emit([Chunk(job_id, held.attempt, "token", number, text)], 60))
    return job_id


def unsent_bytes(server: uvicorn.Server) -> int:
    """The most that is held for one client."""
    sizes = [one.transport.get_write_buffer_size() for one in list(server.server_state.connections)]
    return max(sizes, default=0)


def test_a_slow_reader_gets_everything_and_costs_one_write(
    served: tuple[FastAPI, uvicorn.Server], store: Store
) -> None:
    _, server = served
    largest_bytes = got_bytes = 0
    with listen(server, flood(store, server)) as reader:
        while got_bytes < PIECE_BYTES * PIECES:
            largest_bytes = max(largest_bytes, unsent_bytes(server))
            got_bytes += len(reader.recv(50_000))
            time.sleep(0.01)
    assert 0 < largest_bytes < 2 * PIECE_BYTES


def test_who_does_not_read_costs_one_write_and_is_dropped(
    served: tuple[FastAPI, uvicorn.Server], store: Store
) -> None:
    app, server = served
    job_id = flood(store, server)
    readers = [listen(server, job_id) for _ in range(8)]
    bells = app.state.gateway.events._bells
    largest_bytes = 0

    def are_all_dropped() -> bool:
        nonlocal largest_bytes
        largest_bytes = max(largest_bytes, unsent_bytes(server))
        return largest_bytes > 0 and not bells and not server.server_state.connections

    assert eventually(are_all_dropped)
    assert largest_bytes < 2 * PIECE_BYTES
    for reader in readers:
        got_bytes = 0
        with reader, suppress(ConnectionResetError):
            while piece := reader.recv(1_000_000):
                got_bytes += len(piece)
        assert got_bytes < PIECE_BYTES * PIECES


def test_who_asks_for_more_and_leaves_is_forgotten(served: tuple[FastAPI, uvicorn.Server]) -> None:
    """uvicorn tells only the request that came last, which here has not begun."""
    app, server = served
    url = f"http://127.0.0.1:{port_of(server)}/v1/jobs"
    reader = listen(server, httpx2.post(url, json={"prompt": "x"}).json()["id"])
    reader.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    bells = app.state.gateway.events._bells
    eventually(lambda: len(bells) == 1)
    reader.close()
    assert eventually(lambda: not bells and not server.server_state.connections)
