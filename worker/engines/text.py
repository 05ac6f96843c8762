"""Turns token ids into text as they arrive: whole characters only, reasoning apart from the answer.

Nothing is decoded twice: a byte-level token is its bytes, and an incremental decoder does the rest.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from quill.errors import EngineError
from worker.engines.base import Delta

REASONING_OPENS = "<think>"
REASONING_CLOSES = "</think>"


@dataclass(frozen=True, slots=True)
class TokenTable:
    """What every id stands for; ids that show nothing (special tokens, holes in the vocabulary) are empty."""

    pieces: tuple[bytes, ...]
    #: ``None`` if the tokenizer has no such tokens.
    reasoning_opens_id: int | None
    reasoning_closes_id: int | None

    @classmethod
    def of(cls, tokenizer: Any) -> TokenTable:
        """From a `tokenizers.Tokenizer`. Raises ``EngineError`` if its tokens are not bytes."""
        if not _is_byte_level(json.loads(tokenizer.to_str())["decoder"]):
            raise EngineError("Only byte-level tokenizers, such as Qwen's, are served.")
        added = tokenizer.get_added_tokens_decoder()
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        pieces = [b""] * (max(vocabulary.values()) + 1)
        byte_of = dict(_byte_alphabet())
        for token, token_id in vocabulary.items():
            if token_id not in added:
                pieces[token_id] = bytes(byte_of[char] for char in token)
            elif not added[token_id].special:
                pieces[token_id] = token.encode()
        ids = {token.content: token_id for token_id, token in added.items()}
        return cls(tuple(pieces), ids.get(REASONING_OPENS), ids.get(REASONING_CLOSES))

    def bytes_of(self, token_id: int) -> bytes:
        return self.pieces[token_id] if token_id < len(self.pieces) else b""


def _is_byte_level(decoder: dict[str, Any] | None) -> bool:
    if decoder is None:
        return False
    return decoder["type"] == "ByteLevel" or any(map(_is_byte_level, decoder.get("decoders", ())))


def _byte_alphabet() -> Iterator[tuple[str, int]]:
    """GPT-2's printable stand-in for every byte: printable ones are themselves, others follow from 256 on."""
    hidden = 0
    for byte in range(256):
        if 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or byte >= 0xAE:
            yield chr(byte), byte
        else:
            yield chr(256 + hidden), byte
            hidden += 1


class TextStream:
    """What the tokens of one answer show, one after the other."""

    def __init__(self, table: TokenTable, is_reasoning: bool = False) -> None:
        self._table = table
        self.is_reasoning = is_reasoning
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        #: Newlines that follow are dropped: those around a line of thought belong to the template.
        self._skips_newlines = is_reasoning
        #: Newlines at the end of the reasoning so far; they count only if more of it follows.
        self._held_newlines = ""
        self.reasoning_tokens = 0

    @property
    def is_mid_character(self) -> bool:
        """The last token was a part of a character that is not whole yet."""
        return bool(self._utf8.getstate()[0])

    def push(self, token_id: int) -> Delta:
        """What this token adds; empty if it shows nothing yet."""
        if token_id == self._table.reasoning_opens_id:
            return self._switch(is_reasoning=True)
        if token_id == self._table.reasoning_closes_id:
            return self._switch(is_reasoning=False)
        self.reasoning_tokens += self.is_reasoning
        return self._show(self._utf8.decode(self._table.bytes_of(token_id)))

    def _switch(self, is_reasoning: bool) -> Delta:
        """A half character before a control token can no longer become whole, so it is dropped."""
        self.reasoning_tokens += self.is_reasoning or is_reasoning
        self._utf8.reset()
        self.is_reasoning = is_reasoning
        self._skips_newlines = True
        self._held_newlines = ""
        return Delta()

    def _show(self, piece: str) -> Delta:
        if self._skips_newlines:
            piece = piece.lstrip("\n")
        if not piece:
            return Delta()
        self._skips_newlines = False
        if not self.is_reasoning:
            return Delta(text=piece)
        return self._show_reasoning(piece)

    def _show_reasoning(self, piece: str) -> Delta:
        body = piece.rstrip("\n")
        if not body:
            self._held_newlines += piece
            return Delta()
        shown = self._held_newlines + body
        self._held_newlines = piece[len(body) :]
        return Delta(reasoning=shown)
