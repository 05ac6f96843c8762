"""From a host's name to the addresses that are safe to connect to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from gateway.fetch.address import Address, is_allowed
from gateway.fetch.errors import FetchFailed, Reason, UnsafeTarget
from gateway.fetch.target import Target, TargetPolicy

#: Gives a name's addresses, best first. Raises ``OSError`` if there are none.
Resolve = Callable[[str, int], Awaitable[list[str]]]


async def resolve(host: str, port: int) -> list[str]:
    """As the operating system does."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(where[0]) for *_, where in found]


async def checked_addresses(target: Target, policy: TargetPolicy, resolve: Resolve) -> list[Address]:
    """Raises ``UnsafeTarget``, ``FetchFailed``.

    The name is looked up once, as a second answer may be another. One blocked address blocks all: who mixes
    private addresses among public ones waits for us to take the wrong one.
    """
    if target.address is not None:
        return [target.address]
    try:
        answers = await resolve(target.host, target.port)
    except (OSError, UnicodeError) as error:
        raise FetchFailed(Reason.CONNECT) from error
    try:
        addresses = [ip_address(answer) for answer in answers]
    except ValueError:
        raise UnsafeTarget("The URL's host leads to something that is no address.") from None
    if not all(is_allowed(address, policy.allowed_networks) for address in addresses):
        raise UnsafeTarget("The URL's host leads to an address that is not public.")
    return addresses
