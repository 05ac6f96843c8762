"""Bidirectional controls: they show a text in another order than the one it is read in."""

from __future__ import annotations

import re

from gateway.sanitize.pieces import drop, runs_of

_EMBEDDINGS = r"\u202a-\u202e\u2066-\u2069"
#: They turn nothing round but punctuation, and Hebrew and Arabic need them beside Latin words.
_MARKS = r"\u061c\u200e\u200f"
CHARACTERS = _EMBEDDINGS + _MARKS

_ANY = re.compile(f"[{CHARACTERS}]")
_EMBEDDING = runs_of(_EMBEDDINGS)
_MARK = runs_of(_MARKS)
_REPEATED = re.compile(f"[{_MARKS}](?<=[{_MARKS}].)[{_MARKS}]*+")
#: Letters only, as marks may yet be dropped.
_RIGHT_TO_LEFT = re.compile(
    r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff](?<=\w)"
)


def drop_bidi_controls(text: str) -> tuple[str, int]:
    """Direction marks stay, singly, in a text that has letters written from the right."""
    if not _ANY.search(text):
        return text, 0
    text, embeddings = drop(_EMBEDDING, text)
    if not _MARK.search(text):
        return text, embeddings
    text, marks = drop(_REPEATED if _RIGHT_TO_LEFT.search(text) else _MARK, text)
    return text, embeddings + marks
