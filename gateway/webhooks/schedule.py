"""When a delivery that failed is tried again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

#: A pause is this much shorter or longer, or everybody who failed in one outage would come back at once.
_JITTER = 0.2
_LONGEST_S = 86_400.0
#: What the specification's ten tries take at most, with that.
_LIFE_S = 4 * 86_400.0
_THROTTLES = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


def pause_s(
    tries: int, schedule_s: Sequence[float], draw: float, asked_s: float | None = None
) -> float | None:
    """After the ``tries``-th try; ``None`` if that was the last. ``draw`` is random, from 0 to 1.

    What the receiver asked for only prolongs it: who asks for a second each time would soon have had all.
    """
    if tries > len(schedule_s):
        return None
    jittered_s = schedule_s[tries - 1] * (1 + _JITTER * (2 * draw - 1))
    return max(jittered_s, asked_s or 0.0)


def life_s(schedule_s: Sequence[float]) -> float:
    """How long a delivery is tried in all, whatever else than its own tries keeps it waiting."""
    return max(_LIFE_S, sum(schedule_s) * (1 + _JITTER))


def asked_pause_s(status: int, headers: Mapping[str, str], now_s: float) -> float | None:
    """Of a Retry-After (RFC 9110, 10.2.3), if it is one that counts; bounded, as it is a stranger's."""
    text = headers.get("retry-after", "").strip()
    if status not in _THROTTLES or not text:
        return None
    if _SECONDS.fullmatch(text):
        return min(float(text), _LONGEST_S)
    try:
        at = parsedate_to_datetime(text)
        wait_s = at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now_s
    except (ValueError, OverflowError):
        return None
    return min(wait_s, _LONGEST_S) if wait_s > 0 else None
