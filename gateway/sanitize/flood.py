"""What is done to a text with more active markup than can be looked at: nothing in it stays markup."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from gateway.sanitize.pieces import Flooded, Step
from gateway.sanitize.spelling import ENTITIES

_ESCAPES = {":": " :"} | {entity: entity.replace("&", "& ") for entity in ENTITIES}


def unless_flooded(blunt: Step) -> Callable[[Step], Step]:
    """Takes the blunt step where the other would have too many places."""

    def either_of(step: Step) -> Step:
        @wraps(step)
        def either(text: str) -> tuple[str, int]:
            try:
                return step(text)
            except Flooded:
                return blunt(text)

        return either

    return either_of


def escape_tags(text: str) -> tuple[str, int]:
    return text.replace("<", "&lt;"), text.count("<")


def escape_colons(text: str) -> tuple[str, int]:
    """With the entities that may be colons, or letters before one."""
    count = sum(map(text.count, _ESCAPES))
    for sign, escaped in _ESCAPES.items():
        text = text.replace(sign, escaped)
    return text, count
