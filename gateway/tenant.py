"""Whose request it is. Without keys every caller is the one local tenant."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

LOCAL_TENANT = "local"


async def current_tenant() -> str:
    return LOCAL_TENANT


Tenant = Annotated[str, Depends(current_tenant)]
