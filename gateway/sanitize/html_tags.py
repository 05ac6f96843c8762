"""Where start tags may be: never less than what some reader of HTML takes for one.

A reader that comes from within a comment, a title or a script begins its tags elsewhere than one that does
not, and so pairs other quotes. This pattern follows all of them at once: a tag ends at a `>` before which
nobody can have opened a quote that is still open.
"""

from __future__ import annotations

import re


def _quoted(quote: str, other: str) -> str:
    """A value in quotes, to its end. Where the other quote may open within, all the rest is taken."""
    # A quote after `=` ends the value for one reader, and for another opens the next.
    within = rf"[^{quote}=]++|=++(?!\s*+{other})(?:\s*+{quote})?+"
    return rf"{quote}(?:{within})*+(?:{quote}|=++\s*+{other}[\s\S]*+|\Z)"


_VALUE = rf"""\s*+(?:{_quoted('"', "'")}|{_quoted("'", '"')})"""
#: Its one group is the tag without its `>`. Tags that have neither a value nor a colon are passed over.
TAG = re.compile(rf"(<[a-zA-Z](?![^<>=:&]*+>)(?:[^>=]++|=++(?:{_VALUE})?+)*+)")
