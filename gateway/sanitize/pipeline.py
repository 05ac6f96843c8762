"""The steps in the order that makes them safe: what goes first can put together what a later one breaks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from gateway.sanitize import (
    bidi,
    composition,
    controls,
    elements,
    handlers,
    joiners,
    kinds,
    marks,
    script_urls,
    tag_characters,
    variation,
)
from gateway.sanitize.characters import Characters
from gateway.sanitize.control_tokens import ControlTokens
from quill.sanitizing import SanitizePolicy

Text = TypeVar("Text", str, Characters)
#: Rule -> step. First what goes wherever it stands, then what may stay where it is needed.
Steps = Mapping[str, Callable[[Text], tuple[Text, int]]]
_UNSEEN: Steps[Characters] = {
    "controls": partial(Characters.drop_all, kind=kinds.CONTROL),
    "noncharacters": partial(Characters.drop_all, kind=kinds.NONCHARACTER),
    "invisible": partial(Characters.drop_all, kind=kinds.INVISIBLE),
    "tag_characters": tag_characters.drop_tag_characters,
    "joiners": joiners.drop_joiners,
    "variation_selectors": variation.drop_variation_selectors,
    "bidi_controls": bidi.drop_bidi_controls,
    "combining_marks": marks.bound_marks,
    "nfc": composition.compose_marked,
}
_OF_ASCII: Steps[str] = {"controls": controls.drop_ascii_controls}
_ORDINARY: Steps[str] = {"nfc": composition.compose}
_ESCAPES: Steps[str] = {
    "active_elements": elements.escape_elements,
    "event_handlers": handlers.escape_handlers,
    "script_urls": script_urls.escape_script_urls,
}
_STRIPS: Steps[str] = {
    "active_elements": elements.strip_elements,
    "event_handlers": handlers.strip_handlers,
    "script_urls": script_urls.strip_script_urls,
}
_EXTRAORDINARY = re.compile(f"[^{kinds.ORDINARY}]")
#: Without one of these no step but that of the control tokens has work.
_SUSPECT = re.compile(r"[^\t\n\r -%'-9;=-~]")

#: What was nested deeper than so many strips is escaped.
_STRIPS_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Sanitized:
    text: str
    #: Rule -> how often it was applied.
    counts: Mapping[str, int] = field(default_factory=dict)


def sanitize(text: str, policy: SanitizePolicy, tokens: ControlTokens) -> Sanitized:
    """To do it twice changes nothing more. What the policy rejects is counted, and done away with."""
    if not _SUSPECT.search(text):
        return _break_tokens(text, policy, tokens, Counter())
    counts: Counter[str] = Counter()
    for steps in _rounds(policy):
        before = text = _normalize(text, policy, counts)
        text = _take(steps, text, counts)
        if text == before:
            break
    return _break_tokens(text, policy, tokens, counts)


def _rounds(policy: SanitizePolicy) -> Sequence[Steps[str]]:
    """To strip can put together what has to be stripped, so that everything begins anew; to escape cannot."""
    if policy.markup == "keep":
        return ({},)
    return (*[_STRIPS] * _STRIPS_AT_MOST * (policy.markup == "strip"), _ESCAPES)


def _normalize(text: str, policy: SanitizePolicy, counts: Counter[str]) -> str:
    if policy.invisible == "keep":
        return text
    if text.isascii():
        return _take(_OF_ASCII, text, counts)
    if not _EXTRAORDINARY.search(text):
        return _take(_ORDINARY, text, counts)
    characters = _take(_UNSEEN, Characters.of(text), counts)
    # To compose a letter is, for some, to take it apart.
    return _take({"combining_marks": marks.bound_marks}, characters, counts).text()


def _break_tokens(
    text: str, policy: SanitizePolicy, tokens: ControlTokens, counts: Counter[str]
) -> Sanitized:
    steps: Steps[str] = {} if policy.control_tokens == "keep" else {"control_tokens": tokens.escape}
    return Sanitized(_take(steps, text, counts), counts)


def _take(steps: Steps[Text], text: Text, counts: Counter[str]) -> Text:
    for rule, step in steps.items():
        text, count = step(text)
        if count:
            counts[rule] += count
    return text
