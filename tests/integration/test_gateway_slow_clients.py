"""Clients that are slow, greedy or speak nonsense: each is bounded, and nobody else notices."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.processes import Fleet, eventually

SHORT = {"auth": "off", "receive_s": 1.0, "receive_head_s": 0.5}
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SIZED = POST + b"Content-Length: 1000\r\n\r\n"
MARK = b"a-secret-of-mine"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: bytes
    body: bytes

    @property
    def code(self) -> Any:
        return json.loads(self.body).get("code")


def answers(sent: bytes) -> list[Answer]:
    parts = [part.partition(b"\r\n\r\n") for part in sent.split(b"HTTP/1.1 ")[1:]]
    return [Answer(int(head[:3]), head.lower(), body) for head, _, body in parts]


def connect(url: str, address: str = "127.0.0.1") -> socket.socket:
    port = httpx2.URL(url).port or 0
    return socket.create_connection(("127.0.0.1", port), 20, source_address=(address, 0))


def rest(client: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    got = bytearray()
    with client, suppress(ConnectionResetError):
        while piece := client.recv(65_536):
            got += piece
    return bytes(got)


def asked(url: str, *pieces: bytes) -> list[Answer]:
    client = connect(url)
    with suppress(BrokenPipeError, ConnectionResetError):
        for piece in pieces:
            client.sendall(piece)
    return answers(rest(client))


def long_poll(url: str, wait_s: float) -> bytes:
    job_id = httpx2.post(f"{url}/v1/jobs", json={"prompt": "x"}).json()["id"]
    return f"GET /v1/jobs/{job_id}?wait={wait_s} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.fixture(scope="module")
def url(lasting_fleet: Fleet) -> str:
    return lasting_fleet.gateway(**SHORT)[1]


def test_a_request_that_stays_unfinished_is_answered_408(url: str) -> None:
    unfinished = [
        b"\r\n",
        b"GET /heal",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        SIZED,
        SIZED + b'{"prompt":',
        CHUNKED + b"5\r\nabc",
    ]
    clients = [connect(url) for _ in unfinished]
    for client, piece in zip(clients, unfinished, strict=True):
        client.sendall(piece)
    for client in clients:
        [answer] = answers(rest(client))
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert b"application/problem+json" in answer.head
        assert b"x-content-type-options: nosniff" in answer.head
        assert b"connection: close" in answer.head


def test_who_says_nothing_is_left_without_a_word(url: str) -> None:
    assert rest(connect(url)) == b""


@pytest.mark.parametrize("begin", [b"\r\n", b"GET /healthz HTTP/1.1\r\nX: ", SIZED, CHUNKED + b"3e8;x="])
def test_a_trickle_of_bytes_extends_nothing(url: str, begin: bytes) -> None:
    client = connect(url)
    client.sendall(begin)
    client.settimeout(0.05)

    def look() -> bytes:
        with suppress(TimeoutError):
            client.send(begin[:1] if begin == b"\r\n" else b"1")
            return client.recv(65_536)
        return b""

    with client:
        assert answers(eventually(look))[0].status == 408


def test_a_second_request_has_a_time_of_its_own(url: str) -> None:
    assert [answer.status for answer in asked(url, GET, b"GET /heal")] == [200, 408]


def test_patient_clients_outlast_every_deadline_while_slow_ones_come_and_go(url: str) -> None:
    job_url = f"{url}/v1/jobs/" + httpx2.post(f"{url}/v1/jobs", json={"prompt": "x"}).json()["id"]
    with ThreadPoolExecutor() as pool:
        polled = pool.submit(httpx2.get, f"{job_url}?wait=2.5", timeout=20)
        streamed = pool.submit(httpx2.get, f"{job_url}/events", timeout=20)
        slow = [connect(url) for _ in range(40)]
        for client in slow:
            client.sendall(SIZED)
        assert {httpx2.get(f"{url}/healthz").status_code for _ in range(20)} == {200}
        assert {answers(rest(client))[0].status for client in slow} == {408}
        assert polled.result().json()["state"] == "queued"
        assert not streamed.done()
        httpx2.delete(job_url)
        assert "event: done" in streamed.result().text


def test_pipelined_requests_are_answered_in_turn_and_their_clock_waits_with_them(url: str) -> None:
    statuses = [answer.status for answer in asked(url, long_poll(url, 1.5) + GET + GET + b"GET /heal")]
    assert statuses == [200, 200, 200, 408]


def test_a_flood_of_pipelined_requests_is_cut_off(url: str) -> None:
    given = asked(url, long_poll(url, 0.5) + GET * 2000)
    assert {answer.status for answer in given} == {200}
    assert 1 < len(given) < 40
    assert b"connection: close" in given[-1].head


GARBAGE = [
    b"\x16\x03\x01\x02\x00" + MARK,
    MARK + b"\r\n\r\n",
    b"GET /%b HTTP/9.9\r\n\r\n" % MARK,
    b"GET %b HTTP/1.1\r\n\r\n" % MARK,
    b"CONNECT %b:443 HTTP/1.1\r\nHost: x\r\n\r\n" % MARK,
    b"GET /healthz HTTP/1.1\r\n%b\r\n\r\n" % MARK,
    b"GET /healthz HTTP/1.1\r\nX: \x00%b\r\n\r\n" % MARK,
    POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + MARK,
    POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n" + MARK,
    CHUNKED + MARK,
]


def test_garbage_is_answered_400_and_not_repeated(url: str) -> None:
    for garbage in GARBAGE:
        [answer] = asked(url, garbage)
        assert (answer.status, answer.code) == (400, "malformed_request"), garbage
        assert MARK not in answer.head + answer.body


@pytest.mark.parametrize("garbage", [b"\x00garbage", CHUNKED + b"garbage"])
def test_garbage_behind_a_request_does_not_take_its_answer(url: str, garbage: bytes) -> None:
    [answer] = asked(url, long_poll(url, 0.5) + garbage)
    assert (answer.status, json.loads(answer.body)["state"]) == (200, "queued")
    assert b"connection: close" in answer.head


def test_an_upgrade_that_is_not_offered_is_an_ordinary_request_and_the_last(url: str) -> None:
    upgrade = GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert [answer.status for answer in asked(url, upgrade + GET)] == [200]


TOO_LONG: list[tuple[int, list[bytes]]] = [
    (414, [b"GET /?" + MARK * 1000 + b" HTTP/1.1\r\n\r\n"]),
    (414, [b"GET /?", *[MARK * 500] * 500]),
    (431, [GET[:-2] + b"X: " + MARK * 4000 + b"\r\n\r\n"]),
    (431, [GET[:-2] + b"X: ", *[MARK * 500] * 500]),
    (431, [GET[:-2] + b"X: x\r\n" * 100 + b"\r\n"]),
    (431, [GET[:-2], *[b"X: " + MARK * 50 + b"\r\n"] * 500]),
    (431, [CHUNKED + b"3\r\nabc\r\n0\r\nX: ", *[MARK * 500] * 500]),
    (431, [CHUNKED + b"3;x=", *[MARK * 500] * 500]),
]
CODES = {414: "url_too_long", 431: "headers_too_large"}


def test_what_is_too_long_is_refused_while_it_arrives(url: str) -> None:
    for status, pieces in TOO_LONG:
        [answer] = asked(url, *pieces)
        assert (answer.status, answer.code) == (status, CODES[status]), pieces[0][:100]
        assert MARK not in answer.head + answer.body


def test_trailers_are_no_headers(url: str) -> None:
    body = b'c\r\n{"prompt":1}\r\n0\r\nX-Request-ID: mine\r\n\r\n'
    [answer] = asked(url, POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert answer.status == 422
    assert b"mine" not in answer.head


def test_beyond_its_connections_a_gateway_says_so_and_closes(fleet: Fleet) -> None:
    _, url = fleet.gateway(auth="off", max_connections=5)
    held = [connect(url) for _ in range(5)]
    [answer] = asked(url)
    assert (answer.status, answer.code) == (503, "too_many_connections")
    assert b"retry-after" in answer.head
    for client in held:
        client.close()
    assert eventually(lambda: httpx2.get(f"{url}/healthz").status_code == 200)


def test_one_address_can_be_bounded_by_itself(fleet: Fleet) -> None:
    _, url = fleet.gateway(auth="off", max_connections_per_address=2)
    held = [connect(url) for _ in range(2)]
    assert [answer.status for answer in asked(url)] == [503]
    other = connect(url, "127.0.0.2")
    other.sendall(GET[:-2] + b"Connection: close\r\n\r\n")
    assert [answer.status for answer in answers(rest(other))] == [200]
    for client in held:
        client.close()
    assert eventually(lambda: httpx2.get(f"{url}/healthz").status_code == 200)


def test_a_gateway_without_free_files_accepts_again_once_it_has_some(fleet: Fleet) -> None:
    gateway, url = fleet.gateway(auth="off")
    assert httpx2.get(f"{url}/readyz").status_code == 200
    files = len(list(Path(f"/proc/{gateway.pid}/fd").iterdir())) + 10
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (files, files))
    flood = [connect(url) for _ in range(200)]

    def is_closed(client: socket.socket) -> bool:
        client.setblocking(False)
        with suppress(BlockingIOError, ConnectionResetError):
            return client.recv(1) == b""
        return False

    assert eventually(lambda: sum(map(is_closed, flood)) > 100)
    for client in flood:
        client.close()

    def is_back() -> bool:
        with suppress(httpx2.TransportError):
            return httpx2.get(f"{url}/readyz").status_code == 200
        return False

    assert eventually(is_back)
    assert gateway.said("internal_error") == []


def test_no_more_connections_are_taken_than_there_can_be_open_files() -> None:
    code = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
from gateway.__main__ import within_open_files
from quill.settings import GatewaySettings
bounded = [within_open_files(GatewaySettings(max_connections=n)).max_connections for n in (50, 10_000)]
print(*bounded, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "50 136 200"
