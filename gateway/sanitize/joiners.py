"""Joiners and their like, which are invisible but part of how some scripts and most emoji are spelled."""

from __future__ import annotations

import re
from functools import partial

from gateway.sanitize.pieces import drop, outside, runs_of

#: Zero-width space, non-joiner and joiner, and the Mongolian vowel separator.
CHARACTERS = r"\u200b-\u200d\u180e"
_RUN = runs_of(CHARACTERS)

#: Arabic and its kin, the Indic scripts, those that write no spaces, Mongolian.
_SCRIPTS = (
    r"\u0600-\u061b\u061d-\u109f\u1700-\u180a\u1810-\u18af\u1900-\u1aaf\u1b00-\u1c4f\ua800-\uaaff\uabc0-\uabff"
    r"\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc"
    r"\U00010a00-\U00010a5f\U00010d00-\U00010d3f\U00010ec0-\U00010eff\U00011000-\U00011fff\U0001e900-\U0001e95f"
)
#: Marks of no script, beside those that scripts have of their own.
_MARKS = r"\u0300-\u036f\u1ab0-\u1aff\u1cd0-\u1cff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
PICTURES = (
    r"\u2190-\u21ff\u2300-\u2328\u232b-\u23ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\U0001f000-\U0001faff"
)


# What counts is the letter, whatever marks it has: those may yet be reordered, and bounded.
_AFTER_LETTER = rf"[{_SCRIPTS}](?<=\w)(?:(?!\w)[{_SCRIPTS}{_MARKS}])*+[{CHARACTERS}]"
_BETWEEN_PICTURES = rf"[{PICTURES}]\ufe0f?+\u200d(?=[{PICTURES}])"
_SPELLED = re.compile(f"({_AFTER_LETTER}|{_BETWEEN_PICTURES})")


def drop_joiners(text: str) -> tuple[str, int]:
    """All but one after a letter that may need it, and those that make one picture of two."""
    if not _RUN.search(text):
        return text, 0
    return outside(_SPELLED, partial(drop, _RUN), text)
