"""Elements that run or load something by being there."""

from __future__ import annotations

import re

_NAMES = "script|iframe|object|embed"
# `List<Object>` is a type: such an element after a word, without an attribute, loads nothing.
_TYPE = r"(?<=\w<)(?:object|embed)[^=<>]*+>"
# The first look ahead is at what a text full of `<` fails at.
_TAG = rf"(?=[/eios])(?!{_TYPE})/?(?:{_NAMES})(?=[\s/>]|\Z)"
_FLAGS = re.ASCII | re.IGNORECASE
_OPENING = re.compile(rf"<(?={_TAG})", _FLAGS)
_WHOLE = re.compile(rf"<{_TAG}[^<>]*+>?+", _FLAGS)


def escape_elements(text: str) -> tuple[str, int]:
    return _OPENING.subn("&lt;", text)


def strip_elements(text: str) -> tuple[str, int]:
    """Their tags; what stands between is text from then on."""
    return _WHOLE.subn("", text)
