"""URLs that are scripts, or whole pages with scripts: `javascript:`, `vbscript:`, `data:text/html`."""

from __future__ import annotations

import re
from functools import cache, partial

from gateway.sanitize.flood import escape_colons, unless_flooded
from gateway.sanitize.html_tags import TAG
from gateway.sanitize.lowered import lowered
from gateway.sanitize.pieces import PLACES_AT_MOST, Flooded, Step, inside, mark_after, replace
from gateway.sanitize.spelling import IGNORED, beginning, spelled, spelled_out


@cache
def _scheme(*, in_tags: bool, with_colon: bool = False) -> re.Pattern[str]:
    """Its one group is a scheme. To compile it takes some milliseconds, so it waits until it is needed."""
    # "JavaScript: a primer" is no URL; but in an attribute a space may follow.
    anything, spaces = ("", r"[ \f]*+") if in_tags else (r"\S", "")
    colon = spelled(":")
    script = f"{spelled('script')}(?={colon}{anything})"
    page = f"{spelled('ta')}(?={colon}{spaces}{spelled('text/html')})"
    scheme = f"(?:{spelled('a')}(?:{spelled('va')}{script}|{page})|{spelled('b')}{script})"
    return re.compile(f"({beginning('jvd', 'ab')}{scheme}){colon * with_colon}", re.ASCII)


@unless_flooded(escape_colons)
def escape_script_urls(text: str) -> tuple[str, int]:
    """A space before the colon: no scheme has one. An entity would be read again, in HTML and in Markdown."""
    return _everywhere(text, *(partial(mark_after, _scheme(in_tags=place), " ") for place in (False, True)))


@unless_flooded(escape_colons)
def strip_script_urls(text: str) -> tuple[str, int]:
    """The schemes, and nothing of what follows them."""
    wholes = (_scheme(in_tags=place, with_colon=True) for place in (False, True))
    return _everywhere(text, *(partial(replace, whole, "") for whole in wholes))


def _everywhere(text: str, anywhere: Step, in_tags: Step) -> tuple[str, int]:
    found = _scheme(in_tags=True)
    if not _may_be_in(text) or not found.search(text):
        return text, 0
    text, count = anywhere(text)
    if "<" not in text or not found.search(text):
        return text, count
    text, more = inside(TAG, in_tags, text)
    return text, count + more


def _may_be_in(text: str) -> bool:
    """A quick look, as the pattern begins at every `d`. Raises ``Flooded``."""
    if entities := spelled_out(text, PLACES_AT_MOST):
        if entities == PLACES_AT_MOST:
            raise Flooded
        return True
    if ":" not in text:
        return False
    plain = lowered(text, without=IGNORED)
    if plain.count(b"script:") + plain.count(b"data:") >= PLACES_AT_MOST:
        raise Flooded
    return b"script:" in plain or (b"data:" in plain and b"text/html" in plain)
