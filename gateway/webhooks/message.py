"""What a delivery looks like on the wire: thin, so that its reader must still ask for the job with a key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from quill.store.webhooks import Delivery
from quill.trace import Trace
from quill.webhooks import signing

_AGENT = "quill-webhooks"


@dataclass(frozen=True, slots=True)
class Message:
    headers: dict[str, str]
    body: bytes


def message_of(lent: Delivery) -> Message:
    """The body is the same at every try; its time and signature are of this one."""
    at_s = lent.at_ms / 1000
    event = {
        "type": lent.type,
        "id": lent.event_id,
        "object": "event",
        "created_at": int(at_s),
        "timestamp": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds"),
        "data": {"id": lent.subject},
    }
    body = json.dumps(event, separators=(",", ":")).encode()
    now_s = lent.now_ms / 1000
    signed = signing.headers_of(lent.endpoint.live_secrets(now_s), lent.id, int(now_s), body)
    about = {"content-type": "application/json", "user-agent": _AGENT}
    if lent.traceparent:
        about["traceparent"] = Trace.after(lent.traceparent).traceparent
    return Message(about | signed, body)
