"""Turns a conversation into the model's token ids, on the submitting thread and without a tensor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from quill.errors import EngineError, InvalidRequest
from quill.job import Message
from quill.pricing import without_added_tokens
from worker.prompt.template import REASONING_CLOSES, REASONING_OPENS, ChatTemplate, Options, Piece

#: Conversations up to this length are rendered to find out what a template adds. What it adds for a message
#: depends on the roles beside it and on whether a user's turn follows, so three turns show every case.
PROBE_MESSAGES = 3

#: One message of every kind that templates tell apart.
PROBES = (
    Message(role="system", content="x"),
    Message(role="user", content="x"),
    Message(role="assistant", content="x"),
    Message(role="assistant", content=f"{REASONING_OPENS}x{REASONING_CLOSES}x"),
)


#: All that may be said to a template, one thing at a time.
OPTION_CASES: tuple[Options, ...] = (
    {},
    {"enable_thinking": True},
    {"enable_thinking": False},
    {"preserve_thinking": True},
    *({"reasoning_effort": effort} for effort in ("low", "medium", "high", "xhigh")),
)


@dataclass(frozen=True, slots=True)
class Prompt:
    ids: list[int]
    #: The template already opened `<think>`: the answer begins inside the reasoning.
    opens_reasoning: bool = False
    #: Whether the model will reason before it answers, as far as the template tells.
    reasons: bool = False


class PromptEncoder:
    """The template's pieces are encoded with the control tokens, the callers' texts without a single one."""

    def __init__(self, tokenizer: Any) -> None:
        """From a transformers tokenizer. Raises ``EngineError`` if its texts could not be kept apart."""
        from tokenizers import Tokenizer

        self._template = ChatTemplate(tokenizer)
        # Copies: transformers changes its own tokenizer's truncation from call to call.
        self.tokenizer_json = tokenizer.backend_tokenizer.to_str().encode()
        self._structure = _without_limits(Tokenizer.from_str(self.tokenizer_json.decode()))
        self._plain = _without_limits(Tokenizer.from_str(without_added_tokens(self.tokenizer_json)))
        added = self._structure.get_added_tokens_decoder()
        self._control_ids = frozenset(added)
        self._reasoning_ids = {
            token_id: token.content == REASONING_OPENS
            for token_id, token in added.items()
            if token.content in (REASONING_OPENS, REASONING_CLOSES)
        }
        for token in added.values():
            self._refuse_leak(token.content)
        self._knows_thinking, self._reasons_unasked = self._learn_about_thinking()
        self.base_tokens, self.message_tokens = self._measure()

    @property
    def tokenizer(self) -> Any:
        """The `tokenizers.Tokenizer` with all its tokens."""
        return self._structure

    def encode(
        self,
        messages: Sequence[Message],
        thinking: bool | None = None,
        options: Options = MappingProxyType({}),
    ) -> Prompt:
        """Raises ``InvalidRequest`` if the template refuses the roles or a text is not valid Unicode."""
        pieces = self._template.render(messages, {**options, **_thinking(thinking)})
        ids = [token_id for piece in pieces for token_id in self._encode_piece(piece)]
        opens = self._opens_reasoning(pieces)
        wants = self._reasons_unasked if thinking is None else thinking
        return Prompt(ids, opens, opens or (wants and self._knows_thinking))

    def encode_structure(self, text: str) -> list[int]:
        """The template's own text: a control token in it is one."""
        return list(self._structure.encode(text, add_special_tokens=False).ids)

    def encode_content(self, text: str) -> list[int]:
        """A caller's text: a literal `<|im_end|>` in it is ten ordinary characters."""
        try:
            return list(self._plain.encode(text, add_special_tokens=False).ids)
        except (UnicodeEncodeError, TypeError) as error:
            raise InvalidRequest("A message holds a lone surrogate, which no text may.") from error

    def _encode_piece(self, piece: Piece) -> list[int]:
        if piece.is_content:
            ids = self.encode_content(piece.text)
            # Without its leading space a word can be more tokens; the bound that gateways count by must hold.
            return ids if piece.whole is None else min(ids, self.encode_content(piece.whole), key=len)
        return self.encode_structure(piece.text)

    def _opens_reasoning(self, pieces: list[Piece]) -> bool:
        last = [] if pieces[-1].is_content else self._encode_piece(pieces[-1])
        marks = [self._reasoning_ids[token_id] for token_id in last if token_id in self._reasoning_ids]
        return bool(marks) and marks[-1]

    def _refuse_leak(self, token: str) -> None:
        if not self._control_ids.isdisjoint(self.encode_content(token)):
            raise EngineError(
                "The tokenizer spells a control token in ordinary text, so texts cannot be kept apart."
            )

    def _learn_about_thinking(self) -> tuple[bool, bool]:
        """Whether the template can be told to reason or not, and whether it lets the model if not told."""
        probe = [PROBES[1]]
        unasked, on, off = (
            self._template.render(probe, _thinking(thinking)) for thinking in (None, True, False)
        )
        return on != off, unasked == on

    def _measure(self) -> tuple[int, int]:
        """What the template adds at most: once a prompt, and for every message."""
        added = {
            (case, roles): tokens
            for case, options in enumerate(OPTION_CASES)
            for length in range(1, PROBE_MESSAGES + 1)
            for roles in itertools.product(PROBES, repeat=length)
            if (tokens := self._added_tokens(roles, options)) is not None
        }
        if not added:
            raise EngineError("The model's chat template does not take a user's message.")
        message_tokens = max(
            (
                tokens - added[case, roles[:-1]]
                for (case, roles), tokens in added.items()
                if (case, roles[:-1]) in added
            ),
            default=0,
        )
        base_tokens = max(tokens - len(roles) * message_tokens for (_, roles), tokens in added.items())
        return max(base_tokens, 0), message_tokens

    def _added_tokens(self, probes: tuple[Message, ...], options: Options) -> int | None:
        try:
            pieces = self._template.render(probes, options)
        except InvalidRequest:
            return None
        return sum(len(self._encode_piece(piece)) for piece in pieces if not piece.is_content)


def _thinking(thinking: bool | None) -> Options:
    return {} if thinking is None else {"enable_thinking": thinking}


def _without_limits(tokenizer: Any) -> Any:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
