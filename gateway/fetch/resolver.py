"""From a host's name to the addresses that are safe to connect to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from weakref import WeakValueDictionary

from gateway.fetch.address import Address, is_allowed
from gateway.fetch.errors import FetchFailed, Reason, UnsafeTarget
from gateway.fetch.target import Target, TargetPolicy

#: Of a host, a port, and whoever it is that wants it looked up: a name's addresses, best first. Raises
#: ``OSError`` if there are none, ``TimeoutError`` included.
Resolve = Callable[[str, int, str], Awaitable[list[str]]]


class Resolver:
    """As the operating system does, on threads of its own.

    A lookup holds its thread as long as the slowest nameserver likes, and asyncio has few for the whole
    process: names that nobody answers for would keep the store's from being found. Here nobody gets many.
    """

    def __init__(self, threads: int = 32, of_each: int = 4, deadline_s: float = 10.0) -> None:
        self._threads = ThreadPoolExecutor(threads, "lookup")
        self._of_each = of_each
        self._deadline_s = deadline_s
        #: Of those who have lookups under way.
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def __call__(self, host: str, port: int, asker: str) -> list[str]:
        places = self._places.setdefault(asker, asyncio.Semaphore(self._of_each))
        async with asyncio.timeout(self._deadline_s):
            await places.acquire()
            lookup = self._threads.submit(_addresses_of, host, port)
            # Not when it is given up, for its thread goes on.
            lookup.add_done_callback(partial(_release, places, asyncio.get_running_loop()))
            return await asyncio.wrap_future(lookup)


def _release(places: asyncio.Semaphore, loop: asyncio.AbstractEventLoop, _: object) -> None:
    """From a lookup's own thread."""
    with suppress(RuntimeError):  # the loop is closed: nobody waits for a place any more
        loop.call_soon_threadsafe(places.release)


def _addresses_of(host: str, port: int) -> list[str]:
    return [str(where[0]) for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


#: The process's.
resolve = Resolver()


async def checked_addresses(
    target: Target, policy: TargetPolicy, resolve: Resolve, asker: str
) -> list[Address]:
    """Raises ``UnsafeTarget``, ``FetchFailed``.

    The name is looked up once, as a second answer may be another. One blocked address blocks all: who mixes
    private addresses among public ones waits for us to take the wrong one.
    """
    if target.address is not None:
        return [target.address]
    try:
        answers = await resolve(target.host, target.port, asker)
    except TimeoutError as error:
        raise FetchFailed(Reason.TIMEOUT) from error
    except (OSError, UnicodeError) as error:
        raise FetchFailed(Reason.CONNECT) from error
    try:
        addresses = [ip_address(answer) for answer in answers]
    except ValueError:
        raise UnsafeTarget("The URL's host leads to something that is no address.") from None
    if not all(is_allowed(address, policy.allowed_networks) for address in addresses):
        raise UnsafeTarget("The URL's host leads to an address that is not public.")
    return addresses
