"""Control characters of a text in ASCII, which most are: to `bytes` it is one quick look."""

from __future__ import annotations

from gateway.sanitize.kinds import CONTROL, members_of

_CONTROLS = bytes(point for point in members_of(CONTROL) if point < 0x80)


def drop_ascii_controls(text: str) -> tuple[str, int]:
    kept = text.encode("ascii").translate(None, _CONTROLS)
    count = len(text) - len(kept)
    return (kept.decode("ascii"), count) if count else (text, 0)
