"""What every answer carries, and what the access log leaves out."""

from __future__ import annotations

import httpx2
import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from gateway.access import Access
from gateway.app import create_app
from quill.settings import GatewaySettings

PROTECTION = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def http(app: ASGIApp) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://gateway")


async def receive() -> Message:
    return {"type": "http.disconnect"}


async def send(message: Message) -> None:
    raise AssertionError


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a secret prompt")


async def left(scope: Scope, receive: Receive, send: Send) -> None:
    raise ClientDisconnect


@pytest.mark.parametrize("app", [PlainTextResponse("ok"), Response(status_code=404), broken])
async def test_every_answer_is_protected_from_a_browser(app: ASGIApp) -> None:
    async with http(Access(app)) as client:
        reply = await client.get("/")
    assert PROTECTION.items() <= dict(reply.headers).items()


async def test_a_route_may_say_otherwise() -> None:
    async with http(Access(PlainTextResponse("ok", headers={"Cache-Control": "max-age=60"}))) as client:
        reply = await client.get("/")
    assert reply.headers.get_list("cache-control") == ["max-age=60"]
    assert reply.headers["x-content-type-options"] == "nosniff"


async def test_an_answer_that_is_given_twice_is_protected_once() -> None:
    async with http(Access(PlainTextResponse("ok"))) as client:
        replies = [await client.get("/") for _ in range(2)]
    assert [len(reply.headers.raw) for reply in replies] == [len(replies[0].headers.raw)] * 2


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://gateway"])
async def test_no_other_site_may_read_anything(origin: str) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    async with http(create_app(GatewaySettings())) as client:
        replies = [await client.options("/v1/jobs", headers=asks), await client.get("/healthz", headers=asks)]
    assert [reply.status_code for reply in replies] == [405, 200]
    for reply in replies:
        assert not [name for name in reply.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("insane", ["", "two words", "x" * 129, "a\x00b", "é", "a\n"])
async def test_a_request_id_is_taken_over_only_if_it_is_sane(insane: str) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["request_id"])
        await PlainTextResponse("ok")(scope, receive, send)

    async with http(Access(app)) as client:
        for given in ("Mine.1-2_3", insane):
            reply = await client.get("/", headers=[(b"X-Request-ID", given.encode())])
            assert reply.headers["x-request-id"] == seen[-1]
    assert seen[0] == "Mine.1-2_3"
    assert seen[1] != insane
    assert len(seen[1]) == 16


async def test_the_access_line_has_neither_prompt_nor_key_nor_query() -> None:
    with capture_logs() as said:
        async with http(create_app(GatewaySettings())) as client:
            await client.post(
                "/nowhere/a-secret-path?key=a-secret-query",
                content="a-secret-prompt",
                headers={"Authorization": "Bearer a-secret-key", "Cookie": "a-secret-cookie"},
            )
            await client.get("/healthz?a-secret-query")
    lines = [line for line in said if line["action"] == "request"]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", None, 404),
        ("GET", "/healthz", 200),
    ]
    assert "secret" not in str(said)


async def test_a_client_that_leaves_is_noted_as_gone() -> None:
    with capture_logs() as said:
        await Access(left)({"type": "http", "method": "GET", "headers": []}, receive, send)
    assert [(line["action"], line["status"]) for line in said] == [("request", 499)]


async def test_a_defect_is_logged_without_its_text() -> None:
    with capture_logs() as said:
        async with http(Access(broken)) as client:
            reply = await client.get("/")
    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert "secret" not in reply.text + str(said)
