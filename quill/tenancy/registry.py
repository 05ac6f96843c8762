"""Tenants and keys: made, changed and looked up. Every change is written only over what was read."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from quill.errors import DocumentChanged, KeyNotFound, TenantExists, TenantNotFound
from quill.limits import Limits
from quill.store import documents
from quill.store.documents import Stored
from quill.store.run import AsyncStore
from quill.tenancy import apikey
from quill.tenancy.plan import Plan
from quill.tenancy.records import ApiKey, Scope, Secret, Tenant

_TENANT = "tenant"
_KEY = "apikey"


@dataclass(frozen=True, slots=True)
class NewKey:
    """The only time that the text of a key is seen."""

    key: ApiKey
    text: str


class Registry:
    """Its times are this machine's: a key lives for days."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store

    async def create_tenant(self, tenant_id: str, plan: Plan) -> Tenant:
        """Raises ``TenantExists``, or ``Unavailable`` as everything here does."""
        tenant = Tenant(id=tenant_id, plan=plan, created_at=time.time())
        try:
            await self._store.run(documents.put(_TENANT, "", tenant_id, None, tenant))
        except DocumentChanged:
            raise TenantExists from None
        return tenant

    async def tenants(self) -> list[Tenant]:
        return await self._store.run(documents.every(_TENANT, "", Tenant))

    async def tenant(self, tenant_id: str) -> Tenant:
        """Raises ``TenantNotFound``."""
        return (await self._tenant(tenant_id)).document

    async def change_plan(self, tenant_id: str, plan: Plan) -> Tenant:
        """Counts from the next request on. Raises ``TenantNotFound``."""

        def read() -> Awaitable[Stored[Tenant]]:
            return self._tenant(tenant_id)

        def write(before: Stored[Tenant], after: Tenant) -> Awaitable[None]:
            return self._store.run(documents.put(_TENANT, "", tenant_id, before, after))

        return await documents.rewrite(read, lambda tenant: tenant.model_copy(update={"plan": plan}), write)

    async def create_key(
        self,
        tenant_id: str,
        *,
        name: str,
        scopes: tuple[Scope, ...],
        lives_s: float | None = None,
        models: tuple[str, ...] | None = None,
        limits: Limits | None = None,
    ) -> NewKey:
        """Raises ``TenantNotFound``."""
        await self._tenant(tenant_id)
        text = apikey.mint(apikey.new_key_id())
        now_s = time.time()
        key = ApiKey(
            id=text.id,
            tenant=tenant_id,
            name=name,
            scopes=scopes,
            secrets=(Secret(sha256=text.sha256),),
            created_at=now_s,
            expires_at=None if lives_s is None else now_s + lives_s,
            models=models,
            limits=limits or Limits(),
        )
        await self._store.run(documents.put(_KEY, tenant_id, key.id, None, key))
        return NewKey(key, text.text)

    async def keys(self, tenant_id: str) -> list[ApiKey]:
        """Raises ``TenantNotFound``."""
        await self._tenant(tenant_id)
        return await self._store.run(documents.every(_KEY, tenant_id, ApiKey))

    async def key(self, key_id: str) -> ApiKey:
        """Raises ``KeyNotFound``."""
        return (await self._key(key_id)).document

    async def rotate_key(self, key_id: str, old_lives_s: float) -> NewKey:
        """A new text for the key; the one until now counts for some time yet. Raises ``KeyNotFound``."""
        text = apikey.mint(key_id)
        until = time.time() + old_lives_s

        def rotated(key: ApiKey) -> dict[str, Any]:
            newest = key.secrets[0].model_copy(update={"until": until})
            return {"secrets": (Secret(sha256=text.sha256), newest)}

        return NewKey(await self._change_key(key_id, rotated), text.text)

    async def revoke_key(self, key_id: str) -> ApiKey:
        """Raises ``KeyNotFound``."""
        return await self._change_key(key_id, lambda _: {"is_revoked": True})

    async def _change_key(self, key_id: str, change: Callable[[ApiKey], dict[str, Any]]) -> ApiKey:
        def read() -> Awaitable[Stored[ApiKey]]:
            return self._key(key_id)

        def write(before: Stored[ApiKey], after: ApiKey) -> Awaitable[None]:
            return self._store.run(documents.put(_KEY, after.tenant, key_id, before, after))

        return await documents.rewrite(read, lambda key: key.model_copy(update=change(key)), write)

    async def _tenant(self, tenant_id: str) -> Stored[Tenant]:
        found = (await self._store.run(documents.get(_TENANT, [tenant_id], Tenant)))[0]
        if found is None:
            raise TenantNotFound
        return found

    async def _key(self, key_id: str) -> Stored[ApiKey]:
        found = (await self._store.run(documents.get(_KEY, [key_id], ApiKey)))[0]
        if found is None:
            raise KeyNotFound
        return found
