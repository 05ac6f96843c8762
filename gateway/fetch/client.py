"""Requests to URLs that strangers gave (webhooks, images), to no address that was not checked (SSRF)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx2

from gateway.fetch.errors import FetchFailed, Reason
from gateway.fetch.exchange import Fetched, FetchLimits, Message, exchange, reason_of
from gateway.fetch.resolver import Resolve, checked_addresses, resolve
from gateway.fetch.target import Target, TargetPolicy, parse_target

#: Of a name's addresses; it could have hundreds, and let us knock at each.
_ADDRESSES_AT_MOST = 4


class GuardedClient:
    """Knows no proxy, cookie, .netrc or environment variable, and holds nothing between two requests."""

    def __init__(
        self,
        policy: TargetPolicy,
        limits: FetchLimits,
        *,
        resolve: Resolve = resolve,
        ca_file: Path | None = None,
    ) -> None:
        """``ca_file`` adds a deployment's own authorities; nothing turns the verification off."""
        self._policy = policy
        self._limits = limits
        self._resolve = resolve
        self._tls = httpx2.create_ssl_context(trust_env=False)
        if ca_file is not None:
            self._tls.load_verify_locations(ca_file)

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes, asker: str = ""
    ) -> Fetched:
        """The answer, whatever its status. Raises ``UnsafeTarget``, ``FetchFailed``.

        ``asker`` is who gave the URL: lookups of one keep those of no other waiting.
        """
        target = parse_target(url, self._policy)
        try:
            async with asyncio.timeout(self._limits.deadline_s):
                return await self._follow(target, Message(method.upper(), headers, content), asker)
        except TimeoutError as error:
            raise FetchFailed(Reason.TIMEOUT) from error
        # What TLS says to a read comes as it is, a subclass of OSError.
        except (httpx2.HTTPError, OSError) as error:
            raise FetchFailed(reason_of(error)) from error

    async def _follow(self, target: Target, message: Message, asker: str) -> Fetched:
        """A redirect too many is an answer like any other, and so is one to a message that changes things."""
        fetched = await self._ask(target, message, asker)
        for _ in range(self._limits.redirects_at_most):
            if fetched.location is None or message.method not in ("GET", "HEAD"):
                break
            onward = target.redirected(fetched.location, self._policy)
            if onward.origin != target.origin:
                message = message.for_anybody()
            target = onward
            fetched = await self._ask(target, message, asker)
        return fetched

    async def _ask(self, target: Target, message: Message, asker: str) -> Fetched:
        failed = FetchFailed(Reason.CONNECT)
        addresses = await checked_addresses(target, self._policy, self._resolve, asker)
        for address in addresses[:_ADDRESSES_AT_MOST]:
            try:
                return await exchange(message, target, address, self._limits, self._tls)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failed = FetchFailed(reason_of(error))
                if failed.reason is Reason.TLS:
                    break
        raise failed
