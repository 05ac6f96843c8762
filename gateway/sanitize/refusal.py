"""What a request is told that has what a policy rejects."""

from __future__ import annotations

from collections.abc import Mapping

from quill.errors import Fault
from quill.sanitizing import SanitizePolicy

#: Field of the policy -> rule -> what its faults name. To compose letters is never refused.
_NOUNS: Mapping[str, Mapping[str, str]] = {
    "invisible": {
        "controls": "control characters",
        "noncharacters": "noncharacters",
        "invisible": "invisible characters",
        "tag_characters": "tag characters",
        "joiners": "joiners where no script needs them",
        "variation_selectors": "variation selectors that vary nothing",
        "bidi_controls": "bidirectional controls",
        "combining_marks": "too many combining marks on one letter",
    },
    "markup": dict.fromkeys(("active_elements", "event_handlers", "script_urls"), "active markup"),
    "control_tokens": {"control_tokens": "control tokens of the model"},
}


def faults_of(pointer: str, counts: Mapping[str, int], policy: SanitizePolicy) -> list[Fault]:
    nouns = (
        noun
        for name, rules in _NOUNS.items()
        if getattr(policy, name) == "reject"
        for rule, noun in rules.items()
        if rule in counts
    )
    sentences = dict.fromkeys(f"has {noun}, which this service does not take" for noun in nouns)
    return [Fault(pointer, sentence) for sentence in sentences]
