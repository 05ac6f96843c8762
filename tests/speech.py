"""How the tests' Qwen3 checkpoint is spoken to: its encoder and its tokens, built once."""

from __future__ import annotations

from functools import cache

from tests.checkpoints import QWEN3_TEMPLATE, build_tokenizer
from worker.engines.text import TokenTable
from worker.prompt.encoder import PromptEncoder


@cache
def encoder() -> PromptEncoder:
    return PromptEncoder(build_tokenizer(QWEN3_TEMPLATE))


@cache
def table() -> TokenTable:
    return TokenTable.of(encoder().tokenizer)
