"""Webhook endpoints: where a tenant's events go, what became of them, and to send one again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from gateway.body import read_model
from gateway.caller import WebhookOwner
from gateway.contract import body_of
from gateway.routes.paging import Limit
from gateway.state import Here
from gateway.webhooks.receiver import check_url, policy_of
from quill.store import webhooks
from quill.webhooks.records import Endpoint, EventTypes, new_test_event_id
from quill.wire import Wire

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhooks"])

_BODY_BYTES = 16_384
#: How long a secret signs beside the one that takes its place.
_ROTATION_S = 86_400.0
_NAME_CHARS = 128

#: The `next` of a page.
Before = Annotated[str, Query(max_length=32, pattern=r"^[0-9]{1,16}-[0-9]{1,10}$")]


class WantedEndpoint(Wire):
    url: str = Field(description="https, and of a public host.")
    name: str = Field(default="", max_length=_NAME_CHARS)
    event_types: EventTypes = Field(default=(), description="Absent: all.")


class EndpointChange(Wire):
    """What is absent stays as it is."""

    url: str | None = None
    name: str | None = Field(default=None, max_length=_NAME_CHARS)
    event_types: EventTypes | None = Field(default=None, description="Empty: all.")
    is_enabled: bool | None = Field(default=None, description="False drops what is still to be sent.")


class SecretRotation(Wire):
    old_lives_s: float = Field(default=_ROTATION_S, ge=0, le=30 * 86_400)


@router.get("")
async def endpoints(caller: WebhookOwner, here: Here) -> dict[str, Any]:
    found = await here.endpoints.every(caller.tenant)
    return {"object": "list", "data": [_shown(endpoint) for endpoint in found]}


@router.post("", status_code=201, openapi_extra=body_of(WantedEndpoint))
async def create(request: Request, caller: WebhookOwner, here: Here) -> dict[str, Any]:
    """`secret` verifies what is sent there, by Standard Webhooks; it is never shown again."""
    wanted = await read_model(request, WantedEndpoint, _BODY_BYTES)
    await check_url(wanted.url, policy_of(here.settings), caller.tenant)
    return _handed_out(
        await here.endpoints.create(
            caller.tenant, name=wanted.name, url=wanted.url, event_types=wanted.event_types
        )
    )


@router.get("/{endpoint_id}")
async def endpoint(endpoint_id: str, caller: WebhookOwner, here: Here) -> dict[str, Any]:
    return _shown(await here.endpoints.endpoint(caller.tenant, endpoint_id))


@router.patch("/{endpoint_id}", openapi_extra=body_of(EndpointChange))
async def change(request: Request, endpoint_id: str, caller: WebhookOwner, here: Here) -> dict[str, Any]:
    wanted = await read_model(request, EndpointChange, _BODY_BYTES)
    if wanted.url is not None:
        await check_url(wanted.url, policy_of(here.settings), caller.tenant)
    changes = {name: value for name, value in wanted if value is not None}
    return _shown(await here.endpoints.change(caller.tenant, endpoint_id, changes))


@router.delete("/{endpoint_id}", status_code=204, response_class=Response)
async def remove(endpoint_id: str, caller: WebhookOwner, here: Here) -> None:
    """What is still to be sent there is forgotten."""
    await here.endpoints.remove(caller.tenant, endpoint_id)


@router.post("/{endpoint_id}/rotate", openapi_extra=body_of(SecretRotation))
async def rotate(request: Request, endpoint_id: str, caller: WebhookOwner, here: Here) -> dict[str, Any]:
    """A new secret; the old one signs beside it for `old_lives_s` yet."""
    wanted = await read_model(request, SecretRotation, _BODY_BYTES)
    return _handed_out(await here.endpoints.rotate(caller.tenant, endpoint_id, wanted.old_lives_s))


@router.post("/{endpoint_id}/test", status_code=202)
async def send_test(endpoint_id: str, caller: WebhookOwner, here: Here) -> dict[str, Any]:
    """Sends a `test` event the way all events go."""
    found = await here.endpoints.endpoint(caller.tenant, endpoint_id)
    return {"delivery_id": await here.run(webhooks.ping(caller.tenant, found.id, new_test_event_id()))}


@router.get("/{endpoint_id}/deliveries")
async def deliveries(
    endpoint_id: str, caller: WebhookOwner, here: Here, limit: Limit = 20, after: Before | None = None
) -> dict[str, Any]:
    """Every try, newest first; `after` takes the `next` of the page before."""
    found = await here.endpoints.endpoint(caller.tenant, endpoint_id)
    entries = await here.run(webhooks.attempts(found.id, after or "", limit + 1))
    shown, has_more = entries[:limit], len(entries) > limit
    return {
        "object": "list",
        "data": [entry.attempt for entry in shown],
        "has_more": has_more,
        "next": shown[-1].id if has_more else None,
    }


@router.post("/{endpoint_id}/deliveries/{delivery_id}/replay", status_code=202)
async def replay(endpoint_id: str, delivery_id: str, caller: WebhookOwner, here: Here) -> dict[str, Any]:
    """Sends it again, at once and under its old id, whether it had arrived or not."""
    found = await here.endpoints.endpoint(caller.tenant, endpoint_id)
    await here.run(webhooks.redeliver(caller.tenant, found.id, delivery_id))
    return {"delivery_id": delivery_id}


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    return endpoint.model_dump(mode="json", exclude={"secrets", "tenant"})


def _handed_out(endpoint: Endpoint) -> dict[str, Any]:
    return _shown(endpoint) | {"secret": endpoint.secrets[0].text}
