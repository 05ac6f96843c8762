"""What strangers send and how they leave: no body is a defect, no departure leaves anything behind."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.app import create_app
from quill.pricing import ModelFacts
from quill.settings import GatewaySettings
from quill.store import calls
from quill.store.attempt import Chunk
from quill.store.run import Store
from tests.gateways import client_of, in_process
from tests.integration.jobs import ticket
from tests.processes import Fleet, eventually
from tests.valkey import ValkeyServer

MODEL = "quill-tiny"
FIELDS = ["prompt", "messages", "model", "max_tokens", "temperature", "class", "metadata", "seed", "stream"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["role", "content"]), inner),
    max_leaves=12,
)
BODIES = st.dictionaries(st.sampled_from(FIELDS) | st.text(), VALUES) | VALUES


@pytest.fixture
async def app(valkey: ValkeyServer) -> AsyncIterator[FastAPI]:
    async with in_process(valkey) as app:
        yield app


async def test_no_json_body_is_a_defect_of_ours(app: FastAPI) -> None:
    async with client_of(app) as http:
        statuses: set[int] = set()

        async def post(content: bytes) -> None:
            reply = await http.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
            statuses.add(reply.status_code)
            assert reply.status_code < 500, (content, reply.text)
            if reply.status_code >= 400:
                assert reply.headers["content-type"] == "application/problem+json"

        for content in _bodies():
            await post(content)
        assert {202, 400, 422} <= statuses


def _bodies() -> list[bytes]:
    """Drawn before they are sent: hypothesis has no loop of its own."""
    drawn: list[bytes] = [b'{"prompt":"x"}']

    @given(BODIES | st.binary())
    @hypothesis_settings(max_examples=400, deadline=None, database=None)
    def draw(body: Any) -> None:
        drawn.append(body if isinstance(body, bytes) else json.dumps(body).encode())

    draw()
    return drawn


@pytest.fixture
def served(valkey: ValkeyServer) -> Iterator[tuple[FastAPI, int]]:
    """In this process, so that what it holds can be looked at."""
    app = create_app(GatewaySettings(redis_url=valkey.url, auth="off", keep_alive_s=0.2))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started)
    yield app, server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


def test_readers_that_leave_or_never_read_are_forgotten(served: tuple[FastAPI, int], store: Store) -> None:
    app, port = served
    store.run(calls.join("w", MODEL, 1, "{}", ModelFacts(1000)))
    url = f"http://127.0.0.1:{port}/v1/jobs"
    job_id = httpx2.post(url, json={"prompt": "x", "stream": True}).json()["id"]
    held = store.run(calls.claim(*eventually(lambda: ticket(store, MODEL)), "w", "token"))
    readers = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for reader in readers:
        reader.sendall(f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    bells = app.state.gateway.events._bells
    eventually(lambda: len(bells.get(job_id, ())) == 20)
    # More than the sockets between take, so that the gateway's writes stand still.
    flood = '{"text":"' + "x" * 500_000 + '"}'
    for number in range(1, 17):
        store.run(calls.emit([Chunk(job_id, held.attempt, "token", number, flood)], 60))
    assert httpx2.get(f"{url}/{job_id}", timeout=5).json()["state"] == "running"
    for reader in readers:
        reader.close()
    eventually(lambda: not bells, within_s=5)


def test_a_tokenizer_that_cannot_be_read_costs_nobody_a_job(fleet: Fleet, store: Store) -> None:
    gateway, url = fleet.gateway()
    facts = ModelFacts(100, tokenizer="broken")
    store.run(calls.join("w", MODEL, 1, "{}", facts, b"no tokenizer"))
    statuses = [httpx2.post(f"{url}/v1/jobs", json={"prompt": "x" * n}).status_code for n in (200, 4000)]
    assert statuses == [202, 400]
    assert len(gateway.said("tokenizer_unreadable")) == 1
