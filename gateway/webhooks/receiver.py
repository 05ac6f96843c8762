"""Where a deployment lets its tenants' webhooks go."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.fetch.errors import FetchFailed
from gateway.fetch.resolver import checked_addresses, resolve
from gateway.fetch.target import TargetPolicy, parse_target
from quill.settings import GatewaySettings

_LOOKUP_S = 5.0


def policy_of(settings: GatewaySettings) -> TargetPolicy:
    usual, own = TargetPolicy(), frozenset(settings.webhook_ports)
    return TargetPolicy(
        allow_http=settings.webhook_allow_http,
        https_ports=usual.https_ports | own,
        http_ports=usual.http_ports | own,
        allowed_networks=settings.webhook_allow_networks,
    )


async def check_url(url: str, policy: TargetPolicy, tenant: str) -> None:
    """Raises ``UnsafeTarget``. A name that leads nowhere yet may lead somewhere later."""
    target = parse_target(url, policy)
    with suppress(FetchFailed, TimeoutError):
        async with asyncio.timeout(_LOOKUP_S):
            await checked_addresses(target, policy, resolve, tenant)
