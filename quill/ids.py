"""Names of things: jobs, attempts' tokens, workers."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import time

#: Crockford's base 32 without I, L, O, U (https://www.crockford.com/base32.html), in lower case.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_JOB_ID_BITS = 128


def _base32(number: int) -> str:
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(0, _JOB_ID_BITS + 2, 5)]
    return "".join(reversed(digits))


def new_job_id() -> str:
    """A ULID: 48 bits of time, so that ids sort, and 80 random bits, so that nobody guesses one."""
    return "job_" + _base32((time.time_ns() // 1_000_000) << 80 | secrets.randbits(80))


def derived_job_id(tenant: str, foreign_id: str) -> str:
    """The one job id for a tenant's task of another system: the same task always gives the same id."""
    digest = hashlib.sha256(f"{tenant}\0{foreign_id}".encode()).digest()
    return "job_" + _base32(int.from_bytes(digest[:16], "big"))


def new_token() -> str:
    """A claim's secret: with the attempt number it fences, even if a restored store repeats a number."""
    return secrets.token_hex(8)


def new_worker_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def fingerprint(*parts: str | bytes) -> str:
    """A 128-bit digest of some parts, for idempotency keys and bodies."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]
