"""Webhook endpoints as they are stored, what is sent to them, and what became of it."""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from quill.tenancy.records import TenantId
from quill.wire import Wire

#: Of one tenant.
ENDPOINTS_AT_MOST = 16


class EventType(StrEnum):
    """What an endpoint may hear of: the ends of its tenant's jobs."""

    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    EXPIRED = "job.expired"


class SigningSecret(Wire):
    """Kept as it is, for it signs. ``until`` is in seconds since the epoch; ``None``: as the endpoint."""

    text: str = Field(repr=False)
    until: float | None = None


EventTypes = Annotated[tuple[Annotated[EventType, Field(strict=False)], ...], Field(strict=False)]


class Endpoint(Wire):
    id: str
    tenant: TenantId
    name: str
    url: str
    #: Empty: all, also those that are yet to come.
    event_types: EventTypes = ()
    #: The newest first; two while a rotation goes on.
    secrets: Annotated[tuple[SigningSecret, ...], Field(strict=False)]
    is_enabled: bool = True
    created_at: float

    def live_secrets(self, now_s: float) -> tuple[str, ...]:
        return tuple(secret.text for secret in self.secrets if secret.until is None or now_s < secret.until)


class Outcome(StrEnum):
    """Of one try."""

    DELIVERED = "delivered"
    RETRYING = "retrying"
    DEAD = "dead"


class Attempt(Wire):
    """One try of a delivery, as its owner sees it. Nothing of what the receiver answered is kept."""

    delivery_id: str
    type: str
    subject: str = Field(description="The job, or of a test the endpoint.")
    attempt: int
    outcome: Outcome = Field(strict=False)
    status: int | None = Field(description="What the receiver answered, if it did.")
    reason: str | None = Field(
        description="Why there is no answer. `expired`: it waited for days; `outbox_full`: too many did."
    )
    took_ms: int
    at: float
    retry_at: float | None


def new_endpoint_id() -> str:
    return "whe_" + secrets.token_hex(12)


def new_test_event_id() -> str:
    return "evt_" + secrets.token_hex(20)
