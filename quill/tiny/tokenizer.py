"""Builds quill-tiny's tokenizer: one token a byte, and Qwen3's control tokens. Nothing else has an id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

#: The first control token's id: ids 0 to 255 are the bytes themselves.
FIRST_CONTROL_ID = 256

#: Tokens that are hidden when a reply is decoded with `skip_special_tokens`, as in Qwen3.
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

#: Tokens with one id that stay visible in a decoded reply, as in Qwen3.
VISIBLE_TOKENS = ("<think>", "</think>", "<tool_call>", "</tool_call>")

CONTROL_IDS = {token: FIRST_CONTROL_ID + i for i, token in enumerate(SPECIAL_TOKENS + VISIBLE_TOKENS)}
VOCAB_SIZE = FIRST_CONTROL_ID + len(CONTROL_IDS)

#: Longest context, in tokens, that the model is configured for.
MAX_CONTEXT_TOKENS = 2048


def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-in for each byte, in byte order: printable bytes are themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + hidden.index(byte)) for byte in range(256)]


def build_backend() -> Tokenizer:
    """A BPE without merges and without a normalizer, so that any text comes back byte for byte."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    vocab = {char: byte for byte, char in enumerate(byte_alphabet())}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in VISIBLE_TOKENS])
    return backend


def build() -> PreTrainedTokenizerFast:
    """The tokenizer with its chat template, ready for `save_pretrained`."""
    from transformers import PreTrainedTokenizerFast

    template = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8")
    return PreTrainedTokenizerFast(
        tokenizer_object=build_backend(),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_CONTEXT_TOKENS,
        padding_side="left",
    )
