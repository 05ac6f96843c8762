"""Tag characters: an invisible ASCII. Only flags of parts of a country, as England, are spelled so."""

from __future__ import annotations

import re
from functools import partial

from gateway.sanitize.pieces import drop, outside, runs_of

#: With the unassigned neighbours that are as invisible; the variation selectors between are not of them.
CHARACTERS = r"\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
_RUN = runs_of(CHARACTERS)
_LETTER = r"[\U000e0061-\U000e007a]"
_LETTER_OR_DIGIT = r"[\U000e0030-\U000e0039\U000e0061-\U000e007a]"
#: A black flag, a country, its subdivision, an end (UTS #51, ED-14a).
_FLAG = re.compile(rf"(\U0001f3f4{_LETTER}{{2}}{_LETTER_OR_DIGIT}{{1,4}}\U000e007f)")


def drop_tag_characters(text: str) -> tuple[str, int]:
    if not _RUN.search(text):
        return text, 0
    return outside(_FLAG, partial(drop, _RUN), text)
