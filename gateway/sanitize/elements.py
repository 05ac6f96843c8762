"""Elements that run or load something by being there."""

from __future__ import annotations

import re

from gateway.sanitize.flood import escape_tags, unless_flooded
from gateway.sanitize.lowered import lowered
from gateway.sanitize.pieces import replace

_NAMES = "script|iframe|object|embed"
_BEGINNINGS = {name: (b"<" + name, b"</" + name) for name in _NAMES.encode().split(b"|")}
# `List<Object>` is a type: such an element after a word, without an attribute, loads nothing.
_TYPE = r"(?<=\w<)(?:object|embed)[^=<>]*+>"
_TAG = rf"(?=[/eios])(?!{_TYPE})/?(?:{_NAMES})(?=[\s/>]|\Z)"
_FLAGS = re.ASCII | re.IGNORECASE
_OPENING = re.compile(rf"<(?={_TAG})", _FLAGS)
_WHOLE = re.compile(rf"<{_TAG}[^<>]*+>?+", _FLAGS)


@unless_flooded(escape_tags)
def escape_elements(text: str) -> tuple[str, int]:
    return replace(_OPENING, "&lt;", text) if _may_be_in(text) else (text, 0)


@unless_flooded(escape_tags)
def strip_elements(text: str) -> tuple[str, int]:
    """Their tags; what stands between is text from then on."""
    return replace(_WHOLE, "", text) if _may_be_in(text) else (text, 0)


def _may_be_in(text: str) -> bool:
    if "<" not in text:
        return False
    lower = lowered(text)
    # To search for a name first is quicker, as a text can be full of `<`.
    return any(name in lower and any(tag in lower for tag in tags) for name, tags in _BEGINNINGS.items())
