"""What the routes share: put together once by `create_app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from gateway.admission import Admission
from gateway.directory import Directory
from gateway.events import Events
from gateway.patience import patience
from gateway.principals import Principals
from quill.errors import JobNotFound
from quill.job import Job
from quill.settings import GatewaySettings
from quill.store import calls
from quill.store.call import Call
from quill.store.run import AsyncStore
from quill.tenancy.registry import Registry
from quill.webhooks.endpoints import Endpoints

T = TypeVar("T")

#: Waiters look again after this long even if no bell rang: for their place in line, and for what the event
#: stream may have lost.
LOOK_AGAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Gateway:
    settings: GatewaySettings
    store: AsyncStore
    directory: Directory
    events: Events
    admission: Admission
    principals: Principals
    registry: Registry
    endpoints: Endpoints

    async def run(self, call: Call[T]) -> T:
        """Raises ``Unavailable`` in bounded time, or what a refusal of the script stands for."""
        async with patience(self.settings):
            return await self.store.run(call)

    async def job(self, tenant: str, job_id: str) -> Job:
        """Raises ``JobNotFound`` for a job that is not this tenant's, as for one that never was."""
        found = (await self.run(calls.read(tenant, [job_id])))[0]
        if found is None:
            raise JobNotFound
        return found


async def current_gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


Here = Annotated[Gateway, Depends(current_gateway)]
