"""Tenants and their API keys, for those who run the service."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from gateway.body import read_model
from gateway.caller import Admin
from gateway.contract import body_of
from gateway.state import Here
from quill.job import ModelName
from quill.limits import Limits
from quill.tenancy.plan import SHIPPED, Plan
from quill.tenancy.records import CALLER_SCOPES, ApiKey, Scope, Tenant, TenantId
from quill.tenancy.registry import NewKey
from quill.wire import Wire

router = APIRouter(prefix="/v1/admin", tags=["admin"])

_BODY_BYTES = 65_536
#: How long a key's text counts beside the one that takes its place.
_ROTATION_S = 86_400.0


class NewTenant(Wire):
    id: TenantId
    plan: Plan | Literal["standard", "local"] = Field(
        default="standard", description="One that comes with Quill, or a whole one of your own."
    )

    @property
    def whole_plan(self) -> Plan:
        return SHIPPED[self.plan] if isinstance(self.plan, str) else self.plan


class WantedKey(Wire):
    tenant: TenantId
    name: str = Field(default="", max_length=128)
    scopes: Annotated[
        tuple[Annotated[Scope, Field(strict=False)], ...], Field(strict=False, min_length=1)
    ] = CALLER_SCOPES
    lives_s: float | None = Field(default=None, gt=0, description="Absent: until it is revoked.")
    models: Annotated[tuple[ModelName, ...], Field(strict=False, min_length=1)] | None = None
    limits: Limits = Limits()


class Rotation(Wire):
    old_lives_s: float = Field(default=_ROTATION_S, ge=0, le=30 * 86_400)


@router.get("/tenants")
async def tenants(_: Admin, here: Here) -> dict[str, Any]:
    return {"object": "list", "data": await here.registry.tenants()}


@router.post("/tenants", status_code=201, openapi_extra=body_of(NewTenant))
async def create_tenant(request: Request, _: Admin, here: Here) -> Tenant:
    wanted = await read_model(request, NewTenant, _BODY_BYTES)
    return await here.registry.create_tenant(wanted.id, wanted.whole_plan)


@router.get("/tenants/{tenant_id}")
async def tenant(tenant_id: str, _: Admin, here: Here) -> Tenant:
    return await here.registry.tenant(tenant_id)


@router.put("/tenants/{tenant_id}/plan", openapi_extra=body_of(Plan))
async def change_plan(request: Request, tenant_id: str, _: Admin, here: Here) -> Tenant:
    return await here.registry.change_plan(tenant_id, await read_model(request, Plan, _BODY_BYTES))


@router.get("/tenants/{tenant_id}/keys")
async def keys(tenant_id: str, _: Admin, here: Here) -> dict[str, Any]:
    return {"object": "list", "data": [_shown(key) for key in await here.registry.keys(tenant_id)]}


@router.post("/keys", status_code=201, openapi_extra=body_of(WantedKey))
async def create_key(request: Request, _: Admin, here: Here) -> dict[str, Any]:
    """`text` is the key itself; it is never shown again."""
    wanted = await read_model(request, WantedKey, _BODY_BYTES)
    return _handed_out(
        await here.registry.create_key(
            wanted.tenant,
            name=wanted.name,
            scopes=wanted.scopes,
            lives_s=wanted.lives_s,
            models=wanted.models,
            limits=wanted.limits,
        )
    )


@router.post("/keys/{key_id}/rotate", openapi_extra=body_of(Rotation))
async def rotate_key(request: Request, key_id: str, _: Admin, here: Here) -> dict[str, Any]:
    """A new text; the old one counts for `old_lives_s` yet."""
    wanted = await read_model(request, Rotation, _BODY_BYTES)
    return _handed_out(await here.registry.rotate_key(key_id, wanted.old_lives_s))


@router.delete("/keys/{key_id}", status_code=204, response_class=Response)
async def revoke_key(key_id: str, _: Admin, here: Here) -> None:
    """At once, at every gateway."""
    await here.registry.revoke_key(key_id)


def _shown(key: ApiKey) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"secrets"})


def _handed_out(new: NewKey) -> dict[str, Any]:
    return _shown(new.key) | {"text": new.text}
