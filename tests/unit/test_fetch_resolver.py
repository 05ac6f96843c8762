"""Lookups of names that nobody answers for, and everything else that is looked up meanwhile."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.fetch.errors import FetchFailed, Reason
from gateway.fetch.resolver import Resolver, checked_addresses
from gateway.fetch.target import TargetPolicy, parse_target
from gateway.webhooks import receiver

SILENT = "silent.example"
SOON_S = 0.1
PROMPTLY_S = 2.0


class Nameservers:
    """Those of `silent.example` say nothing until they are let; the others are the system's."""

    def __init__(self) -> None:
        self._ask = socket.getaddrinfo
        self.speak = threading.Event()
        self.waiting = 0

    def getaddrinfo(self, host: str, *rest: Any, **options: Any) -> Any:
        if host.endswith(SILENT):
            self.waiting += 1
            self.speak.wait(30)
            host = "localhost"
        return self._ask(host, *rest, **options)


@pytest.fixture
def nameservers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nameservers]:
    nameservers = Nameservers()
    monkeypatch.setattr(socket, "getaddrinfo", nameservers.getaddrinfo)
    yield nameservers
    nameservers.speak.set()


async def test_a_name_that_nobody_answers_for_is_given_up_in_time(nameservers: Nameservers) -> None:
    target = parse_target(f"https://{SILENT}/", TargetPolicy())
    with pytest.raises(FetchFailed) as failed:
        async with asyncio.timeout(PROMPTLY_S):
            await checked_addresses(target, TargetPolicy(), Resolver(deadline_s=SOON_S), "mallory")
    assert failed.value.reason is Reason.TIMEOUT


async def test_one_askers_silent_names_keep_no_other_and_nothing_else_waiting(
    nameservers: Nameservers,
) -> None:
    resolve = Resolver()
    silent = [asyncio.create_task(resolve(f"{number}.{SILENT}", 443, "mallory")) for number in range(64)]
    await asyncio.sleep(SOON_S)
    async with asyncio.timeout(PROMPTLY_S):
        assert "127.0.0.1" in await resolve("localhost", 443, "acme")
        assert await asyncio.get_running_loop().getaddrinfo("localhost", 6379)
    assert nameservers.waiting == 4
    nameservers.speak.set()
    async with asyncio.timeout(PROMPTLY_S):
        assert all("127.0.0.1" in found for found in await asyncio.gather(*silent))


async def test_a_lookup_that_was_given_up_keeps_its_place_as_long_as_its_thread(
    nameservers: Nameservers,
) -> None:
    resolve = Resolver(of_each=2, deadline_s=SOON_S)
    for number in range(4):
        with pytest.raises(TimeoutError):
            await resolve(f"{number}.{SILENT}", 443, "mallory")
    assert nameservers.waiting == 2
    nameservers.speak.set()
    await asyncio.sleep(SOON_S)
    assert "127.0.0.1" in await resolve("localhost", 443, "mallory")


async def test_whoever_sets_up_an_endpoint_does_not_wait_for_a_silent_name(
    nameservers: Nameservers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "_LOOKUP_S", SOON_S)
    async with asyncio.timeout(PROMPTLY_S):
        for number in range(8):
            await receiver.check_url(f"https://{number}.{SILENT}/", TargetPolicy(), "mallory")
    assert nameservers.waiting == 4
