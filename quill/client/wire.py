"""Between our steps and httpx2: the only module that knows how httpx2 is set up and what it raises."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import httpx2

from quill.client.failures import GatewayUnreachable
from quill.client.steps import Call, Lost, Reply

DEFAULT_URL = "http://127.0.0.1:8000"

CONNECT_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 30.0

#: What a request or the reading of an answer may raise.
HTTP_ERRORS = (httpx2.HTTPError, httpx2.StreamError)


def connection(base_url: str | None, api_key: str | None) -> dict[str, Any]:
    """For ``httpx2.Client`` and ``AsyncClient``. Raises ``GatewayUnreachable`` if the URL is none."""
    url = base_url or os.environ.get("QUILL_URL") or DEFAULT_URL
    key = api_key or os.environ.get("QUILL_API_KEY")
    try:
        urlsplit(url)  # stricter than the next line about brackets
        parsed = httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL):
        raise GatewayUnreachable(f"{url!r} is not an http:// or https:// URL") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise GatewayUnreachable(f"{url!r} is not an http:// or https:// URL")
    headers = {"accept": "application/json", "user-agent": "quill-python"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    return {"base_url": parsed, "headers": headers, "timeout": _timeout(Call("GET", "/"))}


def _timeout(call: Call) -> httpx2.Timeout:
    return httpx2.Timeout(
        connect=CONNECT_TIMEOUT_S,
        read=call.read_timeout_s,
        write=WRITE_TIMEOUT_S,
        # A pool that is full of long-polls frees a place when one of them ends.
        pool=call.read_timeout_s,
    )


def request(client: httpx2.Client | httpx2.AsyncClient, call: Call) -> httpx2.Request:
    return client.build_request(
        call.method,
        call.path,
        params=dict(call.query) or None,
        headers=dict(call.headers),
        content=call.body or None,
        timeout=_timeout(call),
    )


def reply(response: httpx2.Response, body: bytes) -> Reply:
    # httpx2.Headers gives its names in lower case.
    return Reply(response.status_code, dict(response.headers), body)


def lost(client: httpx2.Client | httpx2.AsyncClient, error: Exception) -> Lost:
    what = "did not answer in time" if isinstance(error, httpx2.TimeoutException) else "cannot be reached"
    return Lost(f"The gateway at {client.base_url} {what}: {error or type(error).__name__}")


def ended(client: httpx2.Client | httpx2.AsyncClient) -> Lost:
    return Lost(f"The gateway at {client.base_url} ended a stream before its job was done")
