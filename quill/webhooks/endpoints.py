"""A tenant's webhook endpoints: made, changed and looked up. A change is written only over what was read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from quill.errors import DocumentChanged, EndpointNotFound
from quill.store import documents, webhooks
from quill.store.documents import Stored
from quill.store.run import AsyncStore
from quill.webhooks import signing
from quill.webhooks.records import Endpoint, EventType, SigningSecret, new_endpoint_id

_KIND = "endpoint"
#: So often a change is tried anew that others overtook.
_TRIES = 5


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
        for _ in range(_TRIES):
            if await self._replaces(await self._stored(tenant, endpoint_id), None):
                return
        raise DocumentChanged

    async def _change(
        self, tenant: str, endpoint_id: str, change: Callable[[Endpoint], dict[str, Any]]
    ) -> Endpoint:
        for _ in range(_TRIES):
            before = await self._stored(tenant, endpoint_id)
            after = before.document.model_copy(update=change(before.document))
            if await self._replaces(before, after):
                return after
        raise DocumentChanged

    async def _replaces(self, before: Stored[Endpoint], after: Endpoint | None) -> bool:
        try:
            await self._store.run(webhooks.subscribe(before, after))
        except DocumentChanged:
            return False
        return True

    async def _stored(self, tenant: str, endpoint_id: str) -> Stored[Endpoint]:
        found = (await self._store.run(documents.get(_KIND, [endpoint_id], Endpoint)))[0]
        if found is None or found.document.tenant != tenant:
            raise EndpointNotFound
        return found
