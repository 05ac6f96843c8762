"""Who sent a Celery message: a tenant's name, signed by the operator's secret."""

from __future__ import annotations

import hashlib
import hmac
import re

from pydantic import SecretStr

from quill.errors import RequestError

#: Set by the sender: `send_task(..., headers={"quill_tenant": TOKEN})`.
TENANT_HEADER = "quill_tenant"

_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_VERSION = "v1"


class UnknownSender(RequestError):
    """The message's quill_tenant header is missing or not signed by this service's secret."""

    code = "unknown_sender"
    status = 401


def tenant_token(tenant: str, secret: SecretStr) -> str:
    """What the operator hands to a tenant: `v1.<tenant>.<HMAC-SHA256 of v1.<tenant>>`."""
    if not _TENANT.fullmatch(tenant):
        raise ValueError("a tenant's name has 1 to 64 letters, digits, _ or -")
    signed = f"{_VERSION}.{tenant}"
    mac = hmac.new(secret.get_secret_value().encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{mac.hexdigest()}"


def tenant_of(token: object, secret: SecretStr | None) -> str:
    """Without a secret every message is the local tenant's. Raises ``UnknownSender``."""
    if secret is None:
        return "local"
    parts = token.split(".") if isinstance(token, str) and token.isascii() else []
    if len(parts) != 3 or not _TENANT.fullmatch(parts[1]):
        raise UnknownSender
    if not hmac.compare_digest(tenant_token(parts[1], secret), str(token)):
        raise UnknownSender
    return parts[1]
