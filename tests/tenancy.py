"""Tenants and keys for tests, made as an operator makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from quill.settings import Settings
from quill.store.run import AsyncStore
from quill.tenancy.plan import LOCAL, Plan
from quill.tenancy.records import CALLER_SCOPES, Scope
from quill.tenancy.registry import NewKey, Registry

T = TypeVar("T")


class Tenancy:
    """The registry over a store, for tests that are not async."""

    def __init__(self, redis_url: str) -> None:
        self._settings = Settings(redis_url=redis_url)

    def run(self, work: Callable[[Registry], Awaitable[T]]) -> T:
        async def once() -> T:
            store = AsyncStore.connect(self._settings)
            try:
                return await work(Registry(store))
            finally:
                await store.close()

        return asyncio.run(once())

    def tenant(self, tenant_id: str, plan: Plan = LOCAL) -> None:
        self.run(lambda registry: registry.create_tenant(tenant_id, plan))

    def key(self, tenant_id: str, *scopes: Scope, **options: Any) -> NewKey:
        return self.run(
            lambda registry: registry.create_key(
                tenant_id, name="test", scopes=scopes or CALLER_SCOPES, **options
            )
        )

    def newcomer(self, tenant_id: str, plan: Plan = LOCAL) -> str:
        """A new tenant's key."""
        self.tenant(tenant_id, plan)
        return self.key(tenant_id).text


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}
