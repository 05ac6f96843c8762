"""Empties the outbox: every gateway sends what it was lent, and records what came of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import TypeVar

import structlog

from gateway.background import keep_doing
from gateway.defects import log_defect
from gateway.fetch.client import GuardedClient
from gateway.fetch.exchange import FetchLimits
from gateway.patience import patience
from gateway.webhooks.attempt import attempt
from gateway.webhooks.receiver import policy_of
from gateway.webhooks.schedule import life_s
from quill.errors import EndpointNotFound, Unavailable
from quill.settings import GatewaySettings
from quill.store import webhooks
from quill.store.call import Call
from quill.store.refusals import Fenced
from quill.store.run import AsyncStore
from quill.store.webhooks import Delivery, Destination, Report
from quill.webhooks.endpoints import Endpoints
from quill.webhooks.records import Outcome

_log = structlog.get_logger(__name__)

T = TypeVar("T")

#: At once: in all, of one tenant, to one endpoint. Whoever hangs holds up no more than its tenant's share.
_SENDS_AT_MOST = 128
_SENDS_OF_TENANT = 32
_SENDS_OF_EACH = 16
#: Lent by one call.
_TAKEN_AT_MOST = 20
_IDLE_S = 0.25
#: Of an answer, which only its status is read of.
_REPLY_BYTES = 16_384
#: A lease is so many tries long: what is still unrecorded then was lost.
_LEASE_TRIES = 4
_RETRY_S = 0.25
#: For what is under way when the gateway stops; what takes longer is sent again by another.
_GRACE_S = 2.0
_CONNECTIONS = 4


class Sender:
    def __init__(self, store: AsyncStore, settings: GatewaySettings) -> None:
        self._store = store
        self._endpoints = Endpoints(store)
        self._settings = settings
        self._lease_s = _LEASE_TRIES * settings.webhook_timeout_s
        self._life_s = life_s(settings.webhook_schedule_s)
        limits = FetchLimits(settings.webhook_timeout_s, max_bytes=_REPLY_BYTES, truncate=True)
        self._client = GuardedClient(policy_of(settings), limits)
        #: What is under way, and where to.
        self._sends: dict[asyncio.Task[None], Destination] = {}

    async def step(self) -> float:
        """Takes what there is room for. Raises ``Unavailable``."""
        wait_s: float | None = None
        if room := _SENDS_AT_MOST - len(self._sends):
            wait_s = await self._take(min(room, _TAKEN_AT_MOST))
        if not self._sends:
            return wait_s or 0.0
        # A send that ends makes room, and may be all that kept its endpoint's next one waiting.
        await asyncio.wait(self._sends, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        return 0.0

    async def close(self) -> None:
        if self._sends:
            await asyncio.wait(self._sends, timeout=_GRACE_S)
        left = list(self._sends)
        for send in left:
            send.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _take(self, limit: int) -> float:
        call = webhooks.take(
            limit=limit,
            each=_SENDS_OF_EACH,
            of_tenant=_SENDS_OF_TENANT,
            lease_s=self._lease_s,
            life_s=self._life_s,
            busy_with=Counter(self._sends.values()),
        )
        taken = await self._run(call)
        for lent in taken.deliveries:
            send = asyncio.create_task(self._deliver(lent, time.monotonic() + self._lease_s))
            self._sends[send] = lent.endpoint.id, lent.endpoint.tenant
            send.add_done_callback(self._sends.pop)
        return min(taken.next_due_s, _IDLE_S)

    async def _deliver(self, lent: Delivery, until_s: float) -> None:
        try:
            report = await attempt(self._client, lent, self._settings.webhook_schedule_s)
            if report.outcome is Outcome.DEAD:
                _log.warning("undelivered", action="webhook_dead", delivery_id=lent.id, status=report.status)
            await self._record(lent, report, until_s)
        except Exception as error:  # nobody waits for this task; when the lease ends, it is tried again
            log_defect("webhook_failed", error)

    async def _record(self, lent: Delivery, report: Report, until_s: float) -> None:
        """However long the store is away, as far as the lease goes; then the delivery is another's."""
        while time.monotonic() < until_s:
            try:
                if report.status == HTTPStatus.GONE:
                    with suppress(EndpointNotFound):
                        await self._endpoints.retire(lent.endpoint)
                await self._run(
                    webhooks.settle(lent, report, life_s=self._life_s, rest_s=self._settings.webhook_rest_s)
                )
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
            except Fenced:
                return
            else:
                return

    async def _run(self, call: Call[T]) -> T:
        async with patience(self._settings):
            return await self._store.run(call)


@asynccontextmanager
async def sending(settings: GatewaySettings) -> AsyncIterator[None]:
    """Over connections of its own, so that many deliveries take none from callers."""
    store = AsyncStore.connect(settings, max_connections=_CONNECTIONS)
    sender = Sender(store, settings)
    work = asyncio.create_task(keep_doing("webhooks", sender.step))
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await sender.close()
        await store.close()
