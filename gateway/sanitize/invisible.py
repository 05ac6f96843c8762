"""Characters that show nothing and join nothing: hidden text is written with them, and filters are passed."""

from __future__ import annotations

from gateway.sanitize.pieces import drop, runs_of

CHARACTERS = (
    r"\u00ad\u034f"  # soft hyphen, grapheme joiner
    r"\u115f\u1160\u3164\uffa0"  # Hangul fillers
    r"\u17b4\u17b5"  # Khmer vowels that are not written
    r"\u2060-\u2065\u206a-\u206f"  # word joiner, invisible operators, deprecated formats
    r"\ufeff\ufff0-\ufffb"  # byte order mark, annotations
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # formats of shorthand and of music
)
_RUN = runs_of(CHARACTERS)


def drop_invisible(text: str) -> tuple[str, int]:
    return drop(_RUN, text)
