"""Variation selectors: one chooses how a character looks; a run of them carries any bytes, unseen."""

from __future__ import annotations

import re

from gateway.sanitize.joiners import PICTURES
from gateway.sanitize.pieces import drop

CHARACTERS = r"\ufe00-\ufe0f\U000e0100-\U000e01ef\u180b-\u180d\u180f"

#: No marks, and nothing that composition turns into a character which is not here.
_IDEOGRAPHS = r"\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_STYLED = (
    rf"#*0-9\u00a9\u00ae{PICTURES}{_IDEOGRAPHS}"
    r"\u1000-\u102a\u103f\u1075-\u1081\uaa60-\uaa7a"  # Khamti and Aiton
    r"\u2010-\u2027\u2030-\u205e\u2100-\u2125\u2127-\u2129\u212c-\u218f\u2200-\u22ff\u2460-\u259f\u2a00-\u2adb\u2add-\u2aff"
    r"\u3001-\u3029\u3030-\u3098\u309b-\u33ff\ua840-\ua877\uff01-\uff9f\U00010ac0-\U00010ae4"
)
_MONGOLIAN = r"\u1807\u1820-\u1884\u1887-\u18a8\u18aa"

#: A selector, a look back at what it follows, and, if that is nothing to style, the run that it begins.
_ASTRAY = re.compile(
    rf"(?:[\ufe00-\ufe0f](?<![{_STYLED}].)|[\U000e0100-\U000e01ef](?<![{_IDEOGRAPHS}].)"
    rf"|[\u180b-\u180d\u180f](?<![{_MONGOLIAN}].))[{CHARACTERS}]*+"
)
_ANY = re.compile(f"[{CHARACTERS}]")


def drop_variation_selectors(text: str) -> tuple[str, int]:
    """All but one after a character that has variants."""
    if not _ANY.search(text):
        return text, 0
    return drop(_ASTRAY, text)
