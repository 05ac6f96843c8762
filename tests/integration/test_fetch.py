"""The guarded client against real servers: one that a stranger may name, and one that nobody may reach."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_network

import pytest

from gateway.fetch.client import GuardedClient
from gateway.fetch.errors import FetchFailed, Reason, UnsafeTarget
from gateway.fetch.exchange import Fetched, FetchLimits
from gateway.fetch.resolver import Resolve, resolve
from gateway.fetch.target import TargetPolicy
from tests.receivers import Names, receiving, redirecting, repeating, saying, saying_once

#: Allowed, so that it stands for an address of the internet; the other is loopback as it is.
PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"
NOBODY = ["127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"]
NAME, OTHER_NAME = "receiver.example", "other.example"
POLICY = TargetPolicy(
    allow_http=True,
    https_ports=frozenset(range(1024, 65_536)),
    http_ports=frozenset(range(1024, 65_536)),
    allowed_networks=tuple(ip_network(address) for address in [PUBLIC, *NOBODY]),
)
SOON = FetchLimits(deadline_s=0.3)
FOLLOWING = FetchLimits(redirects_at_most=2)
LIMITS = FetchLimits()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


async def get(
    url: str,
    resolve: Resolve,
    limits: FetchLimits = LIMITS,
    **headers: str,
) -> Fetched:
    client = GuardedClient(POLICY, limits, resolve=resolve)
    return await client.send("GET", url, headers=headers, content=b"")


async def failure(
    url: str,
    resolve: Resolve,
    limits: FetchLimits = LIMITS,
) -> Reason:
    with pytest.raises(FetchFailed) as failed:
        await get(url, resolve, limits)
    assert str(failed.value) == FetchFailed(failed.value.reason).message
    return failed.value.reason


async def test_a_request_arrives_as_it_was_given_under_the_name_of_its_url() -> None:
    async with receiving(saying(OK), PUBLIC) as receiver:
        client = GuardedClient(POLICY, LIMITS, resolve=Names([PUBLIC]))
        url = f"http://{NAME}:{receiver.port}/hook?a=%20b"
        fetched = await client.send("POST", url, headers={"X-Sign": "s", "host": "evil"}, content=b"{ }")
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /hook?a=%20b HTTP/1.1"
    assert [line for line in lines if line.lower().startswith(b"host:")] == [
        f"Host: {NAME}:{receiver.port}".encode()
    ]
    assert {b"X-Sign: s", b"Connection: close"} <= set(lines)
    assert body == b"{ }"
    assert (fetched.status, fetched.headers["content-length"], fetched.body) == (200, "2", b"hi")


async def test_a_name_that_changes_its_answer_leads_nowhere_else() -> None:
    names = Names([PUBLIC], [PRIVATE])
    async with (
        receiving(saying(OK), PUBLIC) as receiver,
        receiving(saying(OK), PRIVATE, receiver.port) as private,
    ):
        url = f"http://{NAME}:{receiver.port}/"
        assert (await get(url, names)).status == 200
        assert names.asked == [NAME]
        with pytest.raises(UnsafeTarget):
            await get(url, names)
        assert (receiver.connections, private.connections) == (1, 0)


@pytest.mark.parametrize(
    "answers",
    [
        [PRIVATE],
        [PUBLIC, PRIVATE],
        [PRIVATE, PUBLIC],
        [PUBLIC, "::1"],
        [PUBLIC, "::ffff:127.0.0.2"],
        [PUBLIC, "?"],
    ],
)
async def test_one_blocked_answer_blocks_the_request(answers: list[str]) -> None:
    async with (
        receiving(saying(OK), PUBLIC) as receiver,
        receiving(saying(OK), PRIVATE, receiver.port) as private,
    ):
        with pytest.raises(UnsafeTarget) as refused:
            await get(f"http://{NAME}:{receiver.port}/", Names(answers))
        assert (receiver.connections, private.connections) == (0, 0)
    assert not any(answer in str(refused.value) for answer in answers if answer != "?")


async def test_the_systems_own_resolver_is_asked_and_not_trusted() -> None:
    async with receiving(saying(OK), PRIVATE) as private:
        with pytest.raises(UnsafeTarget):
            await get(f"http://localhost:{private.port}/", resolve)
        assert private.connections == 0
        local = TargetPolicy(
            allow_http=True,
            http_ports=frozenset({private.port}),
            allowed_networks=(ip_network("127.0.0.0/8"), ip_network("::1")),
        )
        client = GuardedClient(local, LIMITS)
        fetched = await client.send("GET", f"http://localhost:{private.port}/", headers={}, content=b"")
        assert fetched.body == b"hi"


@pytest.mark.parametrize("location", ["http://private.example:{port}/", f"http://{PRIVATE}:{{port}}/"])
async def test_a_redirect_to_a_private_address_is_refused(location: str) -> None:
    async with receiving(saying(OK), PRIVATE) as private:
        async with receiving(redirecting(location.format(port=private.port)), PUBLIC) as receiver:
            with pytest.raises(UnsafeTarget):
                await get(f"http://{NAME}:{receiver.port}/", Names([PUBLIC], [PRIVATE]), FOLLOWING)
        assert (receiver.connections, private.connections) == (1, 0)


async def test_a_redirect_is_an_answer_unless_it_may_be_followed() -> None:
    async with receiving(redirecting("/again"), PUBLIC) as receiver:
        url = f"http://{NAME}:{receiver.port}/"
        assert (await get(url, Names([PUBLIC]))).location == "/again"
        assert len(receiver.requests) == 1
        assert (await get(url, Names([PUBLIC]), FOLLOWING)).status == 302
        assert len(receiver.requests) == 1 + 3
        client = GuardedClient(POLICY, FOLLOWING, resolve=Names([PUBLIC]))
        assert (await client.send("POST", url, headers={}, content=b"x")).status == 302
        assert len(receiver.requests) == 1 + 3 + 1


async def test_each_hop_is_looked_up_and_another_origin_gets_no_secret_header() -> None:
    names = Names([PUBLIC])
    async with (
        receiving(saying(OK), PUBLIC) as last,
        receiving(redirecting(f"http://{OTHER_NAME}:{last.port}/end"), PUBLIC) as first,
    ):
        url = f"http://{NAME}:{first.port}/"
        fetched = await get(url, names, FOLLOWING, Authorization="secret", Accept="image/png")
    assert fetched.body == b"hi"
    assert names.asked == [NAME, OTHER_NAME]
    assert b"secret" in first.requests[0]
    assert b"secret" not in last.requests[0]
    assert b"image/png" in last.requests[0]


async def test_an_endless_body_is_too_large_and_the_connection_is_closed() -> None:
    endless = repeating(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536)
    async with receiving(endless, PUBLIC) as receiver:
        limits = FetchLimits(max_bytes=100_000)
        assert await failure(f"http://{NAME}:{receiver.port}/", Names([PUBLIC]), limits) is Reason.TOO_LARGE
        await asyncio.wait_for(receiver.left.wait(), 5)


async def test_an_endless_body_is_cut_off_at_the_cap_where_only_the_status_counts() -> None:
    endless = repeating(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n")
    async with receiving(endless, PUBLIC) as receiver:
        limits = FetchLimits(max_bytes=1000, truncate=True)
        fetched = await get(f"http://{NAME}:{receiver.port}/", Names([PUBLIC]), limits)
        assert (fetched.status, fetched.body) == (200, (b"abc" * 334)[:1000])
        await asyncio.wait_for(receiver.left.wait(), 5)


@pytest.mark.parametrize("max_bytes", [2, 3])
@pytest.mark.parametrize("truncate", [True, False])
async def test_a_body_that_fits_the_cap_is_whole(max_bytes: int, truncate: bool) -> None:
    async with receiving(saying(OK), PUBLIC) as receiver:
        limits = FetchLimits(max_bytes=max_bytes, truncate=truncate)
        assert (await get(f"http://{NAME}:{receiver.port}/", Names([PUBLIC]), limits)).body == b"hi"


async def test_a_compressed_body_is_not_blown_up() -> None:
    bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    async with receiving(saying(bomb), PUBLIC) as receiver:
        fetched = await get(f"http://{NAME}:{receiver.port}/", Names([PUBLIC]))
    assert fetched.body == b"\x1f\x8b\x08\x00"
    assert b"Accept-Encoding: identity" in receiver.requests[0]


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    ],
    ids=["silence", "headers", "interim answers", "body"],
)
async def test_a_slow_answer_ends_at_the_deadline(head: bytes, piece: bytes) -> None:
    async with receiving(repeating(head, piece, pause_s=0.02), PUBLIC) as receiver:
        assert await failure(f"http://{NAME}:{receiver.port}/", Names([PUBLIC]), SOON) is Reason.TIMEOUT


async def test_a_slow_lookup_ends_at_the_deadline() -> None:
    async def never(host: str, port: int, asker: str) -> list[str]:
        await asyncio.sleep(3600)
        return []

    assert await failure(f"http://{NAME}:8080/", never, SOON) is Reason.TIMEOUT


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", Reason.PROTOCOL),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Reason.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", Reason.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000, Reason.PROTOCOL),
    ],
    ids=["none", "not HTTP", "too short", "endless headers"],
)
async def test_an_answer_that_is_not_http_is_said_to_be_so(reply: bytes, reason: Reason) -> None:
    async with receiving(saying_once(reply), PUBLIC) as receiver:
        assert await failure(f"http://{NAME}:{receiver.port}/", Names([PUBLIC])) is reason


async def test_the_next_address_is_tried_where_nobody_listens_at_the_first() -> None:
    async with receiving(saying(OK), PUBLIC) as receiver:
        url = f"http://{NAME}:{receiver.port}/"
        assert (await get(url, Names([NOBODY[0], PUBLIC]))).status == 200
        assert await failure(url, Names([*NOBODY, PUBLIC])) is Reason.CONNECT
        assert receiver.connections == 1


async def test_a_name_without_an_address_has_no_connection() -> None:
    async def unknown(host: str, port: int, asker: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, f"{host} is not known")

    assert await failure(f"http://{NAME}:8080/", unknown) is Reason.CONNECT
    assert await failure(f"http://{NAME}:8080/", Names([])) is Reason.CONNECT


async def test_nothing_is_left_of_a_request_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection, no cookie; and nothing of the environment is for these requests."""
    reply = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
    )
    async with receiving(saying(reply), PUBLIC) as receiver, receiving(saying(OK), PRIVATE) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{PRIVATE}:{proxy.port}")
        client = GuardedClient(POLICY, LIMITS, resolve=Names([PUBLIC]))
        for _ in range(2):
            await client.send("GET", f"http://{NAME}:{receiver.port}/", headers={}, content=b"")
        assert (receiver.connections, proxy.connections) == (2, 0)
    assert not any(b"cookie" in request.lower() for request in receiver.requests)
