"""A model's chat template, rendered so that a caller's text can never become structure.

Every caller's string is replaced by a sentinel before rendering; the rendered text is split at the sentinels.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from quill.errors import EngineError, InvalidRequest
from quill.job import Message

#: By name, as the template knows them.
Options = Mapping[str, bool | str]

REASONING_OPENS = "<think>"
REASONING_CLOSES = "</think>"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a rendered prompt: the template's own text, or a caller's."""

    text: str
    is_content: bool = False
    #: A caller's text before the template trimmed it; ``None`` if it did not.
    whole: str | None = None


class ChatTemplate:
    """Wraps a transformers tokenizer; rendering uses its sandboxed Jinja environment and no tensors."""

    def __init__(self, tokenizer: Any) -> None:
        if not tokenizer.chat_template:
            raise EngineError("The model has no chat template, so it cannot be given messages.")
        self._tokenizer = tokenizer
        self._splits_reasoning = REASONING_CLOSES in str(tokenizer.chat_template)
        nonce = secrets.token_hex(8)
        self._sentinel = f"QUILL{nonce}N%dE"
        self._sentinels = re.compile(f"QUILL{nonce}N([0-9]+)E")

    def render(self, messages: Sequence[Message], options: Options = MappingProxyType({})) -> list[Piece]:
        """Options that the template does not know change nothing; none may be a caller's free text.

        Raises ``InvalidRequest`` if the template refuses this sequence of roles.
        """
        contents: list[str] = []
        turns = [self._masked(message, contents) for message in messages]
        rendered = self._rendered(turns, options)
        kept = contents
        if any(content != content.strip() for content in contents):
            kept = self._as_trimmed(turns, contents, rendered, options)
        pieces = [Piece(text) for text in self._sentinels.split(rendered)]
        for i in range(1, len(pieces), 2):
            key = int(pieces[i].text)
            whole = contents[key] if kept[key] != contents[key] else None
            pieces[i] = Piece(kept[key], is_content=True, whole=whole)
        return [piece for piece in pieces if piece.text]

    def _masked(self, message: Message, contents: list[str]) -> dict[str, str]:
        """Templates look for `</think>` in an assistant's content; behind a sentinel we do it for them."""
        turn: dict[str, str] = {"role": message.role}
        answer = message.content
        if message.role == "assistant" and self._splits_reasoning and REASONING_CLOSES in answer:
            before, _, answer = answer.rpartition(REASONING_CLOSES)
            reasoning = before.split(REASONING_CLOSES)[0].rpartition(REASONING_OPENS)[2]
            turn["reasoning_content"] = self._mask(reasoning.strip("\n"), contents)
            answer = answer.lstrip("\n")
        return turn | {"content": self._mask(answer, contents)}

    def _mask(self, content: str, contents: list[str]) -> str:
        """Nothing is masked as nothing: a template may ask whether there is any content."""
        if not content:
            return ""
        contents.append(content)
        return self._sentinel % (len(contents) - 1)

    def _as_trimmed(
        self, turns: list[dict[str, str]], contents: list[str], rendered: str, options: Options
    ) -> list[str]:
        """The contents with only that whitespace at their ends which the template keeps.

        Whitespace cannot become structure, so a second rendering shows it around the sentinels.
        """
        edges = [_edges(content) for content in contents]
        spaced_turns = [
            {
                key: self._sentinels.sub(lambda m: m[0].join(edges[int(m[1])]), text)
                for key, text in turn.items()
            }
            for turn in turns
        ]
        plain = self._sentinels.split(rendered)
        spaced = self._sentinels.split(self._rendered(spaced_turns, options))
        kept = list(contents)
        order = [int(part) for part in plain[1::2]]
        if [int(part) for part in spaced[1::2]] != order:
            return kept
        tails = ["", *(edges[key][1] for key in order)]
        heads = [*(edges[key][0] for key in order), ""]
        joints = [
            _joint(outer, inner, tail, head)
            for outer, inner, tail, head in zip(spaced[::2], plain[::2], tails, heads, strict=True)
        ]
        for i, key in enumerate(order):
            kept[key] = joints[i][1] + contents[key].strip() + joints[i + 1][0]
        return kept

    def _rendered(self, turns: list[dict[str, str]], options: Options) -> str:
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=True, **options
                )
            )
        except Exception as error:
            raise InvalidRequest("The model's chat template does not take this sequence of roles.") from error


def _edges(content: str) -> tuple[str, str]:
    """The whitespace before and after a text; all of it is before if there is nothing else."""
    core = content.lstrip()
    return content[: len(content) - len(core)], core[len(core.rstrip()) :]


def _joint(outer: str, inner: str, tail: str, head: str) -> tuple[str, str]:
    """What a template left of one content's tail and the next one's head, around its own text `inner`.

    Templates strip everything, or newlines, or nothing; whatever else one may do, the whitespace is kept.
    """
    for tail_left in (tail, "", tail.rstrip("\n")):
        for head_left in (head, "", head.lstrip("\n")):
            if outer == tail_left + inner + head_left:
                return tail_left, head_left
    return tail, head
