"""What makes a second request the same as a first one, so that it is the same job."""

from __future__ import annotations

from dataclasses import dataclass

from quill import ids
from quill.admission import fingerprint
from quill.errors import Fault, InvalidRequest
from quill.job import JobRequest

_KEY_AT_MOST = 255


@dataclass(frozen=True, slots=True)
class Identity:
    #: Empty: nothing does.
    digest: str = ""
    #: By a client that will say so when it asks again, and gave no key of its own.
    is_first_try: bool = False


def identity_of(tenant: str, key: str | None, request: JobRequest, retry_count: str | None) -> Identity:
    """By the Idempotency-Key; else, for the SDKs that send none but count their tries, by the request itself.

    Raises ``InvalidRequest`` for a key that is no short visible ASCII.
    """
    if key is None:
        if retry_count is None or not retry_count.isdecimal():
            return Identity()
        return Identity(ids.fingerprint(tenant, "tries", fingerprint(request)), not retry_count.strip("0"))
    if not 0 < len(key) <= _KEY_AT_MOST or not all("!" <= char <= "~" for char in key):
        detail = f"must have 1 to {_KEY_AT_MOST} visible ASCII characters"
        raise InvalidRequest(faults=(Fault("Idempotency-Key", detail),))
    return Identity(ids.fingerprint(tenant, key))
