"""Control characters: they move cursors, ring bells and end strings early."""

from __future__ import annotations

from gateway.sanitize.pieces import drop, runs_of

#: C0 without tab and the two ends of a line, DEL, and C1.
CHARACTERS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_RUN = runs_of(CHARACTERS)


def drop_controls(text: str) -> tuple[str, int]:
    return drop(_RUN, text)
