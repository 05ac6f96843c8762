"""The calls for webhooks: endpoints and what they hear of, and the outbox that senders empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from quill.errors import QuillError, RateLimited
from quill.limits import Bound, Dimension
from quill.store.call import Call, Reply
from quill.store.documents import Stored, texts
from quill.webhooks.records import ENDPOINTS_AT_MOST, Attempt, Endpoint, Outcome

#: What a tenant may have sent by hand. A test is a new record; a repeat is none, and makes up for an outage.
_TESTS_A_MINUTE = 10
_REPLAYS_A_MINUTE = 100


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event for one endpoint, lent to a sender. Its id is the webhook-id, the same at every try."""

    id: str
    #: Ever begun, with this one; what fences a sender whose lease is over.
    tries: int
    #: Since it was last asked for.
    tries_of_round: int
    event_id: str
    type: str
    subject: str
    #: When it happened.
    at_ms: int
    endpoint: Endpoint
    #: When it was lent. All times are the store's: receivers refuse what is minutes off.
    now_ms: int
    #: Of the request that the job came from; empty for none.
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    deliveries: tuple[Delivery, ...]
    next_due_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one try."""

    outcome: Outcome
    status: int | None = None
    #: A stable word for why there is no status.
    reason: str = ""
    took_ms: int = 0
    #: Until the next try.
    pause_s: float = 0.0


def subscribe(before: Stored[Endpoint] | None, after: Endpoint | None) -> Call[None]:
    """Raises ``DocumentChanged`` if it is not what was read, ``TooManyEndpoints``."""
    endpoint = after if before is None else before.document
    if endpoint is None:
        raise ValueError("there is neither an endpoint before nor after")
    wanted = (",".join(after.event_types) or "*") if after and after.is_enabled else ""
    is_mended = before is None or after is None or _is_mended(before.document, after)
    arguments = (
        *(endpoint.tenant, endpoint.id, *texts(before, after)),
        *(wanted, ENDPOINTS_AT_MOST, int(is_mended)),
    )
    return Call("subscribe", arguments, lambda _, __: None)


def _is_mended(before: Endpoint, after: Endpoint) -> bool:
    """It leads elsewhere, has another secret, or was switched off or on; nothing else mends it."""
    return (after.url, after.secrets, after.is_enabled) != (before.url, before.secrets, before.is_enabled)


#: An endpoint's id and its tenant.
Destination = tuple[str, str]


def take(
    *,
    limit: int,
    each: int,
    of_tenant: int,
    lease_s: float,
    life_s: float,
    busy_with: Mapping[Destination, int],
) -> Call[Taken]:
    """``busy_with`` is how many deliveries the sender holds already, out of ``each`` and ``of_tenant``.

    What was last asked for ``life_s`` ago is dead, however often it was tried.
    """

    def parse(_: str, reply: Reply) -> Taken:
        now_ms, next_due_ms, *lent = reply
        found = (_delivery_of(entry, now_ms) for entry in lent)
        return Taken(tuple(delivery for delivery in found if delivery), next_due_ms / 1000)

    limits = (limit, each, of_tenant, round(lease_s * 1000), round(life_s * 1000))
    flat = [word for to, held in busy_with.items() for word in (" ".join(to), held)]
    return Call("take", (*limits, *flat), parse)


def _delivery_of(entry: Reply, now_ms: int) -> Delivery | None:
    """``None`` if its endpoint was set up by a newer release, which has its turn when the lease is over."""
    delivery_id, tries, tries_of_round, event_id, event_type, subject, at_ms, document, trace = entry
    try:
        endpoint = Endpoint.model_validate_json(document, extra="ignore")
    except ValidationError:
        return None
    return Delivery(
        id=delivery_id.decode(),
        tries=tries,
        tries_of_round=tries_of_round,
        event_id=event_id.decode(),
        type=event_type.decode(),
        subject=subject.decode(),
        at_ms=at_ms,
        endpoint=endpoint,
        now_ms=now_ms,
        traceparent=trace.decode(),
    )


def settle(lent: Delivery, report: Report, *, life_s: float, rest_s: float) -> Call[None]:
    """``life_s`` is as for `take`, ``rest_s`` for an endpoint that breaks. Raises ``Fenced``."""
    arguments = (
        lent.id,
        lent.tries,
        report.outcome.value,
        round(report.pause_s * 1000),
        round(life_s * 1000),
        round(rest_s * 1000),
        "" if report.status is None else report.status,
        report.reason,
        report.took_ms,
    )
    return Call("settle", arguments, lambda _, __: None)


def ping(tenant: str, endpoint_id: str, event_id: str) -> Call[str]:
    """Gives the delivery's id. Raises ``EndpointDisabled``, ``RateLimited``."""
    arguments = (tenant, endpoint_id, event_id, _by_hand("webhook-tests", tenant, _TESTS_A_MINUTE))
    return Call("ping", arguments, lambda _, reply: reply[0].decode(), _limited)


def redeliver(tenant: str, endpoint_id: str, delivery_id: str) -> Call[None]:
    """Raises ``DeliveryNotFound``, ``EndpointDisabled`` or ``RateLimited``."""
    limit = _by_hand("webhook-replays", tenant, _REPLAYS_A_MINUTE)
    return Call("redeliver", (tenant, endpoint_id, delivery_id, limit), lambda _, __: None, _limited)


def _by_hand(kind: str, tenant: str, a_minute: int) -> str:
    return Bound(Dimension.REQUESTS, f"{kind}/{tenant}", a_minute, 60, a_minute).words


def _limited(code: str, reply: Reply) -> QuillError | None:
    if code != "LIMITED":
        return None
    fits_in_ms, policy = reply
    return RateLimited(
        "Too much is sent by hand, or too much waits for this endpoint already. Try again after Retry-After.",
        violated=(policy.decode(),),
        retry_after_s=max(1.0, fits_in_ms / 1000),
    )


@dataclass(frozen=True, slots=True)
class LogEntry:
    #: The cursor for what came before it.
    id: str
    attempt: Attempt


def attempts(endpoint_id: str, before: str, limit: int) -> Call[list[LogEntry]]:
    """The newest, or the newest before the entry ``before``."""
    return Call(
        "attempts", (endpoint_id, before, limit), lambda _, reply: [_log_entry_of(*entry) for entry in reply]
    )


def _log_entry_of(entry_id: bytes, flat: list[bytes]) -> LogEntry:
    texts = [text.decode() for text in flat]
    fields: dict[str, Any] = dict(zip(texts[::2], texts[1::2], strict=True))
    at_ms = int(entry_id.split(b"-")[0])
    retry_ms = fields["retry_ms"]
    attempt = Attempt(
        delivery_id=fields["id"],
        type=fields["type"],
        subject=fields["subject"],
        attempt=int(fields["attempt"]),
        outcome=Outcome(fields["outcome"]),
        status=int(fields["status"]) if fields["status"] else None,
        reason=fields["reason"] or None,
        took_ms=int(fields["took_ms"]),
        at=at_ms / 1000,
        retry_at=int(retry_ms) / 1000 if retry_ms else None,
    )
    return LogEntry(entry_id.decode(), attempt)
