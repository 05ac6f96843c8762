"""Event handlers: attributes that are scripts."""

from __future__ import annotations

import re

from gateway.sanitize.flood import escape_tags, unless_flooded
from gateway.sanitize.html_tags import TAG
from gateway.sanitize.lowered import lowered
from gateway.sanitize.pieces import Step, inside, mark_after, replace

# Three letters at least: `one`, `once` and `only` are ordinary attributes.
_NAME = r"""on[a-z]{3,}+\s*+"""
_BEFORE = r"""[\s/"']"""
_FLAGS = re.ASCII | re.IGNORECASE
_HANDLER = re.compile(rf"({_BEFORE}{_NAME})=", _FLAGS)
_WHOLE = re.compile(rf"""(?<={_BEFORE}){_NAME}=(?:\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'>][^\s>]*+))?+""", _FLAGS)


@unless_flooded(escape_tags)
def escape_handlers(text: str) -> tuple[str, int]:
    """Entities are not read in an attribute's name, so that it becomes another one; shown, it is the same."""
    return _in_tags(text, _escape)


@unless_flooded(escape_tags)
def strip_handlers(text: str) -> tuple[str, int]:
    return _in_tags(text, _strip)


def _in_tags(text: str, step: Step) -> tuple[str, int]:
    return inside(TAG, step, text) if _may_be_in(text) else (text, 0)


def _may_be_in(text: str) -> bool:
    if "<" not in text or "=" not in text or b"on" not in lowered(text):
        return False
    return bool(_HANDLER.search(text))


def _escape(tags: str) -> tuple[str, int]:
    return mark_after(_HANDLER, "&#61;", tags)


def _strip(tags: str) -> tuple[str, int]:
    return replace(_WHOLE, "", tags)
