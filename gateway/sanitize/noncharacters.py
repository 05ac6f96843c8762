"""Code points that Unicode will never assign, and that programs use for marks of their own."""

from __future__ import annotations

import re

from gateway.sanitize.pieces import drop

#: With what is between the astral ones: `re` would look at 16 ranges for every character.
CHARACTERS = r"\ufdd0-\ufdef\ufffe\uffff\U0001fffe-\U0010ffff"
_LAST_OF_PLANES = "".join(rf"\U{plane:04x}fffe-\U{plane:04x}ffff" for plane in range(1, 17))
_NONCHARACTER = re.compile(rf"[{CHARACTERS}](?<=[\ufdd0-\ufdef\ufffe\uffff{_LAST_OF_PLANES}])")


def drop_noncharacters(text: str) -> tuple[str, int]:
    return drop(_NONCHARACTER, text)
