"""What a model reads as structure. No text gets so far in our workers; this is for all others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from gateway.sanitize.pieces import Flooded, mark_after


def _any_of(words: Iterable[str]) -> str:
    """Branches by their first letters, so that a text full of `<` does not try every token at each."""
    ordered = sorted(set(words))
    if ordered[:1] == [""]:
        return ""
    branches = (
        re.escape(first) + _any_of(word[1:] for word in group)
        for first, group in groupby(ordered, lambda word: word[0])
    )
    return f"(?:{'|'.join(branches)})"


def _places(tokens: frozenset[str]) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Two characters each, and the first where a token goes on; only that is taken, as tokens may overlap."""
    for two, group in groupby(sorted(tokens), lambda token: token[:2]):
        yield two, re.compile(f"({re.escape(two[0])})(?={_any_of(token[1:] for token in group)})")


@dataclass(frozen=True, slots=True)
class ControlTokens:
    #: By what tokens begin with: a text that lacks it is not searched for more.
    places: tuple[tuple[str, re.Pattern[str]], ...]

    @classmethod
    def of(cls, strings: Iterable[str]) -> ControlTokens:
        """Single characters and mere spaces, which some models have as tokens, can only be left."""
        tokens = frozenset(token for string in strings if len(token := string.strip()) > 1)
        return cls(tuple(_places(tokens)))

    def occur_in(self, text: str) -> bool:
        return any(two in text and place.search(text) for two, place in self.places)

    def escape(self, text: str) -> tuple[str, int]:
        """A space after each first character, until there is none: a token may have had the space."""
        total = 0
        while self.occur_in(text):
            for two, place in self.places:
                text, count = _space(two, place, text) if two in text else (text, 0)
                total += count
        return text, total


def _space(two: str, place: re.Pattern[str], text: str) -> tuple[str, int]:
    try:
        return mark_after(place, " ", text)
    except Flooded:
        return text.replace(two, f"{two[0]} {two[1]}"), text.count(two)


#: The added tokens of Qwen 2.5 and 3, for as long as a model has not told its own.
QWEN = ControlTokens.of(
    [f"<|{name}|>" for name in ("endoftext", "im_start", "im_end", "image_pad", "video_pad")]
    + [f"<|{name}_{end}|>" for name in ("object_ref", "box", "quad", "vision") for end in ("start", "end")]
    + [f"<|fim_{name}|>" for name in ("prefix", "middle", "suffix", "pad")]
    + ["<|vision_pad|>", "<|repo_name|>", "<|file_sep|>"]
    + [f"<{end}{name}>" for name in ("tool_call", "tool_response", "think") for end in ("", "/")]
)
