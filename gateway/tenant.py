"""Whose request it is. The one place that knows, so that keys can be checked here."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends


async def tenant_of_request() -> str:
    """Everybody is the one local tenant."""
    return "local"


Tenant = Annotated[str, Depends(tenant_of_request)]
