"""One try of a delivery."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from http import HTTPStatus

from gateway.defects import log_defect
from gateway.fetch.client import GuardedClient
from gateway.fetch.errors import FetchFailed, UnsafeTarget
from gateway.fetch.exchange import Fetched
from gateway.webhooks.message import message_of
from gateway.webhooks.schedule import asked_pause_s, pause_s
from quill.errors import InternalError
from quill.store.webhooks import Delivery, Report
from quill.webhooks.records import Outcome

_SUCCESS = range(200, 300)


async def attempt(client: GuardedClient, lent: Delivery, schedule_s: Sequence[float]) -> Report:
    """Raises nothing: what cannot be sent is a failure too, or it would be tried for ever."""
    began_s = time.monotonic()
    answer, reason = await _answer(client, lent)
    took_ms = round((time.monotonic() - began_s) * 1000)
    status = answer.status if answer else None
    if status in _SUCCESS:
        return Report(Outcome.DELIVERED, status, took_ms=took_ms)
    asked_s = asked_pause_s(answer.status, answer.headers, lent.now_ms / 1000) if answer else None
    wait_s = pause_s(lent.tries_of_round, schedule_s, random.random(), asked_s)
    if wait_s is None or status == HTTPStatus.GONE:
        return Report(Outcome.DEAD, status, reason, took_ms)
    return Report(Outcome.RETRYING, status, reason, took_ms, wait_s)


async def _answer(client: GuardedClient, lent: Delivery) -> tuple[Fetched | None, str]:
    """What the receiver said, or a word for why there is nothing."""
    try:
        message = message_of(lent)
        to = lent.endpoint
        sent = client.send("POST", to.url, headers=message.headers, content=message.body, asker=to.tenant)
        return await sent, ""
    except FetchFailed as error:
        return None, error.reason.value
    except UnsafeTarget as error:
        return None, error.code
    except Exception as error:
        log_defect("webhook_failed", error)
        return None, InternalError.code
