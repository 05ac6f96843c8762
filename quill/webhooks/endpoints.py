"""A tenant's webhook endpoints: made, changed and looked up. A change is written only over what was read."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from quill.errors import EndpointNotFound
from quill.store import documents, webhooks
from quill.store.documents import Stored
from quill.store.run import AsyncStore
from quill.webhooks import signing
from quill.webhooks.records import Endpoint, EventType, SigningSecret, new_endpoint_id

After = TypeVar("After", Endpoint, None)

_KIND = "endpoint"


class Endpoints:
    """What is another tenant's is as unknown as what never was. Its times are this machine's."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store

    async def create(
        self, tenant: str, *, name: str, url: str, event_types: tuple[EventType, ...]
    ) -> Endpoint:
        """Raises ``TooManyEndpoints``, or ``Unavailable`` as everything here does."""
        endpoint = Endpoint(
            id=new_endpoint_id(),
            tenant=tenant,
            name=name,
            url=url,
            event_types=event_types,
            secrets=(SigningSecret(text=signing.new_secret()),),
            created_at=time.time(),
        )
        await self._store.run(webhooks.subscribe(None, endpoint))
        return endpoint

    async def every(self, tenant: str) -> list[Endpoint]:
        return await self._store.run(documents.every(_KIND, tenant, Endpoint))

    async def endpoint(self, tenant: str, endpoint_id: str) -> Endpoint:
        """Raises ``EndpointNotFound``."""
        return (await self._stored(tenant, endpoint_id)).document

    async def change(self, tenant: str, endpoint_id: str, changes: dict[str, Any]) -> Endpoint:
        """Raises ``EndpointNotFound``."""
        return await self._change(tenant, endpoint_id, lambda _: changes)

    async def rotate(self, tenant: str, endpoint_id: str, old_lives_s: float) -> Endpoint:
        """A new secret; the one until now signs beside it for some time yet. Raises ``EndpointNotFound``."""
        new = SigningSecret(text=signing.new_secret())
        until = time.time() + old_lives_s

        def rotated(endpoint: Endpoint) -> dict[str, Any]:
            return {"secrets": (new, endpoint.secrets[0].model_copy(update={"until": until}))}

        return await self._change(tenant, endpoint_id, rotated)

    async def retire(self, called: Endpoint) -> None:
        """Disables what said that it is gone, unless it leads elsewhere by now."""

        def disabled(endpoint: Endpoint) -> dict[str, Any]:
            return {"is_enabled": endpoint.is_enabled and endpoint.url != called.url}

        await self._change(called.tenant, called.id, disabled)

    async def remove(self, tenant: str, endpoint_id: str) -> None:
        """Raises ``EndpointNotFound``."""
        await self._rewrite(tenant, endpoint_id, lambda _: None)

    async def _change(
        self, tenant: str, endpoint_id: str, change: Callable[[Endpoint], dict[str, Any]]
    ) -> Endpoint:
        return await self._rewrite(
            tenant, endpoint_id, lambda endpoint: endpoint.model_copy(update=change(endpoint))
        )

    async def _rewrite(self, tenant: str, endpoint_id: str, change: Callable[[Endpoint], After]) -> After:
        def read() -> Awaitable[Stored[Endpoint]]:
            return self._stored(tenant, endpoint_id)

        def write(before: Stored[Endpoint], after: After) -> Awaitable[None]:
            return self._store.run(webhooks.subscribe(before, after))

        return await documents.rewrite(read, change, write)

    async def _stored(self, tenant: str, endpoint_id: str) -> Stored[Endpoint]:
        found = (await self._store.run(documents.get(_KIND, [endpoint_id], Endpoint)))[0]
        if found is None or found.document.tenant != tenant:
            raise EndpointNotFound
        return found
