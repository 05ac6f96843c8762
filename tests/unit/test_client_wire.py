"""How a client finds its gateway, and leaves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, closing

import httpx2
import pytest

from quill.client import AsyncClient, Client, GatewayUnreachable
from tests.clients import KINDS, Script, answer, opened, sse

pytestmark = pytest.mark.parametrize("kind", KINDS)


def test_the_environment_names_the_gateway_and_the_key(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUILL_URL", "http://elsewhere:81/under")
    monkeypatch.setenv("QUILL_API_KEY", "secret")
    script = Script(answer({}))
    with opened(kind, base_url=None, transport=script) as client:
        client.health()
    assert str(script.seen[0].url) == "http://elsewhere:81/under/v1/health"
    assert script.seen[0].headers["authorization"] == "Bearer secret"


def test_without_a_key_none_is_sent(kind: str) -> None:
    script = Script(answer({}))
    with opened(kind, transport=script) as client:
        client.health()
    assert "authorization" not in script.seen[0].headers


@pytest.mark.parametrize(
    "url", ["gateway:8000", "ftp://gateway", "http://", "http://x:port", "http://[", "redis://x"]
)
def test_an_address_that_is_none_is_refused_at_once(kind: str, url: str) -> None:
    with pytest.raises(GatewayUnreachable, match="is not a"), opened(kind, base_url=url):
        pass


def test_a_stream_that_is_left_early_closes_its_connection(kind: str) -> None:
    one = sse("delta", {"attempt": 1, "text": "a"}, "1.1-0")

    async def awaited_pieces() -> AsyncIterator[bytes]:
        yield one

    body = iter([one]) if kind == "sync" else awaited_pieces()
    response = httpx2.Response(200, content=body)

    async def leave(client: AsyncClient) -> None:
        async with client, aclosing(client.stream("job_1")) as events:
            await anext(events)
            assert not response.is_closed

    if kind == "async":
        asyncio.run(leave(AsyncClient("http://gateway", transport=Script(response))))
    else:
        with (
            Client("http://gateway", transport=Script(response)) as client,
            closing(client.stream("job_1")) as events,
        ):
            next(events)
            assert not response.is_closed
    assert response.is_closed
