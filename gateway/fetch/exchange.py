"""One request and its answer, on a connection of its own to an address that was checked."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace

import httpx2

from gateway.fetch.address import Address
from gateway.fetch.errors import FetchFailed, Reason
from gateway.fetch.target import Target

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: All that another origin gets of a request's headers; the others may be meant for the first one only.
_HEADERS_FOR_ANYBODY = frozenset({"accept", "user-agent"})


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """``deadline_s`` is for all of it: every name, connection, redirect and byte."""

    deadline_s: float = 15.0
    #: For each address; a dead one must leave time for the next.
    connect_s: float = 5.0
    max_bytes: int = 65_536
    #: Whether what is longer is cut off, for those who only look at the status; otherwise it is too large.
    truncate: bool = False
    redirects_at_most: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    method: str
    headers: Mapping[str, str]
    content: bytes

    def for_anybody(self) -> Message:
        kept = {name: text for name, text in self.headers.items() if name.lower() in _HEADERS_FOR_ANYBODY}
        return replace(self, headers=kept)


@dataclass(frozen=True, slots=True)
class Fetched:
    status: int
    #: With lower-case names.
    headers: Mapping[str, str]
    #: As it came, never decompressed.
    body: bytes

    @property
    def location(self) -> str | None:
        return self.headers.get("location") if self.status in _REDIRECTS else None


async def exchange(
    message: Message, target: Target, address: Address, limits: FetchLimits, tls: ssl.SSLContext
) -> Fetched:
    """Raises ``FetchFailed`` for a body too large, and for the rest what httpx2 does (see `reason_of`)."""
    # A pool of its own, so that no connection is ever used again: a pool knows one by its address, and at the
    # same address the next name's certificate would not be looked at.
    async with httpx2.AsyncHTTPTransport(verify=tls, trust_env=False) as pool:
        response = await pool.handle_async_request(_request(message, target, address, limits.connect_s))
        try:
            body = await _body_of(response, limits)
        finally:
            await response.aclose()
    return Fetched(response.status_code, dict(response.headers), body)


def _request(message: Message, target: Target, address: Address, connect_s: float) -> httpx2.Request:
    headers = httpx2.Headers(message.headers)
    headers["Host"] = target.authority
    headers["Connection"] = "close"
    # The cap counts what comes; of a compressed body it would say nothing.
    headers["Accept-Encoding"] = "identity"
    # With the address for a host, nothing is looked up a second time.
    url = httpx2.URL(scheme=target.scheme, host=str(address), port=target.port, raw_path=target.path.encode())
    extensions = {"sni_hostname": target.host, "timeout": {"connect": connect_s}}
    return httpx2.Request(
        message.method, url, headers=headers, content=message.content, extensions=extensions
    )


async def _body_of(response: httpx2.Response, limits: FetchLimits) -> bytes:
    body = bytearray()
    async with aclosing(response.aiter_raw()) as pieces:
        async for piece in pieces:
            body += piece
            if limits.truncate and len(body) >= limits.max_bytes:
                break
            if len(body) > limits.max_bytes:
                raise FetchFailed(Reason.TOO_LARGE)
    return bytes(body[: limits.max_bytes])


def reason_of(error: Exception) -> Reason:
    # httpx2 calls failed TLS a failed connection; what it was is an argument of the error below.
    if isinstance(error, ssl.SSLError) or any(
        isinstance(inner, ssl.SSLError) for inner in getattr(error.__cause__, "args", ())
    ):
        return Reason.TLS
    if isinstance(error, httpx2.TimeoutException):
        return Reason.TIMEOUT
    return Reason.PROTOCOL if isinstance(error, httpx2.ProtocolError) else Reason.CONNECT
