"""The guarded client connects to an address, and has the certificate checked against the name."""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.fetch.client import GuardedClient
from gateway.fetch.errors import FetchFailed, Reason
from gateway.fetch.exchange import FetchLimits
from gateway.fetch.target import TargetPolicy
from tests.receivers import Names, listening, receiving, saying
from tests.tls import certificate

ADDRESS, SILENT = "127.0.0.2", "127.0.0.3"
NAME, OTHER_NAME = "receiver.example", "other.example"
POLICY = TargetPolicy(
    https_ports=frozenset(range(1024, 65_536)),
    allowed_networks=(ip_network(ADDRESS), ip_network(SILENT)),
)
LIMITS = FetchLimits()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls") / "name.pem", f"DNS:{NAME}")


@pytest.fixture
def asked_names() -> list[str | None]:
    """As the server is told them (SNI)."""
    return []


@pytest.fixture
def tls(ca_file: Path, asked_names: list[str | None]) -> ssl.SSLContext:
    return serving(ca_file, asked_names)


def serving(certificate_file: Path, asked_names: list[str | None]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file)

    def note(_: object, name: str | None, __: object) -> None:
        asked_names.append(name)

    context.sni_callback = note
    return context


def client_of(ca_file: Path | None) -> GuardedClient:
    return GuardedClient(POLICY, LIMITS, resolve=Names([ADDRESS]), ca_file=ca_file)


async def failure(client: GuardedClient, url: str) -> Reason:
    with pytest.raises(FetchFailed) as failed:
        await client.send("GET", url, headers={}, content=b"")
    return failed.value.reason


async def test_the_certificate_and_the_request_are_for_the_name(
    ca_file: Path, tls: ssl.SSLContext, asked_names: list[str | None]
) -> None:
    async with receiving(saying(OK), ADDRESS, tls=tls) as receiver:
        url = f"https://{NAME}:{receiver.port}/"
        fetched = await client_of(ca_file).send("GET", url, headers={}, content=b"")
    assert fetched.body == b"hi"
    assert asked_names == [NAME]
    assert f"Host: {NAME}:{receiver.port}".encode() in receiver.requests[0]


async def test_a_certificate_for_another_name_is_refused(
    ca_file: Path, tls: ssl.SSLContext, asked_names: list[str | None]
) -> None:
    async with receiving(saying(OK), ADDRESS, tls=tls) as receiver:
        assert await failure(client_of(ca_file), f"https://{OTHER_NAME}:{receiver.port}/") is Reason.TLS
    assert (asked_names, receiver.requests) == ([OTHER_NAME], [])


async def test_a_certificate_for_the_address_does_not_stand_for_the_name(tmp_path: Path) -> None:
    """Nor the other way round: a URL with an address asks for a certificate of that address."""
    by_address = certificate(tmp_path / "address.pem", f"IP:{ADDRESS}")
    async with receiving(saying(OK), ADDRESS, tls=serving(by_address, [])) as receiver:
        client = client_of(by_address)
        assert await failure(client, f"https://{NAME}:{receiver.port}/") is Reason.TLS
        assert receiver.requests == []
        url = f"https://{ADDRESS}:{receiver.port}/"
        assert (await client.send("GET", url, headers={}, content=b"")).status == 200


async def test_a_name_never_travels_on_another_names_connection(ca_file: Path, tls: ssl.SSLContext) -> None:
    """Both are found at one address, as the names of a CDN are, and the server would keep the connection."""
    async with receiving(saying(OK), ADDRESS, tls=tls) as receiver:
        client = client_of(ca_file)
        for _ in range(2):
            await client.send("GET", f"https://{NAME}:{receiver.port}/", headers={}, content=b"")
        assert receiver.connections == 2
        assert await failure(client, f"https://{OTHER_NAME}:{receiver.port}/") is Reason.TLS
    assert len(receiver.requests) == 2


async def test_an_unknown_authority_is_refused_whatever_the_environment_says(
    ca_file: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    async with receiving(saying(OK), ADDRESS, tls=tls) as receiver:
        assert await failure(client_of(None), f"https://{NAME}:{receiver.port}/") is Reason.TLS
    assert receiver.requests == []


async def test_a_server_without_tls_gets_no_request(ca_file: Path) -> None:
    received = b""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received += await reader.read(65_536)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        received += await reader.read()

    async with listening(refuse, ADDRESS) as port:
        assert await failure(client_of(ca_file), f"https://{NAME}:{port}/secret") is Reason.TLS
    assert received
    assert b"secret" not in received


async def test_an_address_that_says_nothing_leaves_time_for_the_next(
    ca_file: Path, tls: ssl.SSLContext
) -> None:
    async with (
        receiving(saying(OK), ADDRESS, tls=tls) as receiver,
        receiving(saying(OK), SILENT, receiver.port) as silent,
    ):
        limits = FetchLimits(connect_s=0.3)
        client = GuardedClient(POLICY, limits, resolve=Names([SILENT, ADDRESS]), ca_file=ca_file)
        url = f"https://{NAME}:{receiver.port}/"
        assert (await client.send("GET", url, headers={}, content=b"")).status == 200
        assert silent.connections == 1
        client = GuardedClient(POLICY, limits, resolve=Names([SILENT]), ca_file=ca_file)
        assert await failure(client, url) is Reason.TIMEOUT
