"""Tenants and their API keys, as they are stored."""

from __future__ import annotations

import hmac
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from quill.job import ModelName
from quill.limits import Limits
from quill.tenancy.plan import Plan
from quill.wire import Wire

TenantId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class Scope(StrEnum):
    """What a key is for; a key may do nothing that none of its scopes names."""

    SUBMIT = "jobs:submit"
    READ = "jobs:read"
    CANCEL = "jobs:cancel"
    #: Where events go, and what became of them.
    WEBHOOKS = "webhooks"
    #: Workers and health, which tell of the whole service.
    OBSERVE = "service:read"
    #: Tenants and keys, of everybody.
    ADMIN = "admin"


#: What a tenant's own program needs.
CALLER_SCOPES = (Scope.SUBMIT, Scope.READ, Scope.CANCEL, Scope.WEBHOOKS)


class Secret(Wire):
    """The hash of one key text, and until when it counts (seconds since the epoch; ``None``: as the key)."""

    sha256: str
    until: float | None = None


class ApiKey(Wire):
    id: str
    tenant: TenantId
    name: str = Field(max_length=128)
    scopes: Annotated[tuple[Annotated[Scope, Field(strict=False)], ...], Field(strict=False)]
    #: The newest first; two while a rotation goes on.
    secrets: Annotated[tuple[Secret, ...], Field(strict=False)]
    created_at: float
    expires_at: float | None = None
    is_revoked: bool = False
    models: Annotated[tuple[ModelName, ...], Field(strict=False)] | None = Field(
        default=None, description="That it may ask for; absent: all."
    )
    limits: Limits = Limits()

    def admits(self, sha256: str, now_s: float) -> bool:
        """Whether a text with this hash opens anything now; compares every secret, in constant time."""
        matches = [
            hmac.compare_digest(secret.sha256, sha256) and (secret.until is None or now_s < secret.until)
            for secret in self.secrets
        ]
        return any(matches) and not self.is_revoked and (self.expires_at is None or now_s < self.expires_at)


class Tenant(Wire):
    id: TenantId
    plan: Plan
    created_at: float
