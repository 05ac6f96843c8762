"""The built-in model's tokenizer: one token a byte, Qwen3's control tokens, and its chat template."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quill.tiny import checkpoint_path
from quill.tiny.tokenizer import CONTROL_IDS, MAX_CONTEXT_TOKENS, SPECIAL_TOKENS, VOCAB_SIZE

USER = {"role": "user", "content": "What is 17 + 25?"}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(checkpoint_path())


def rendered(tokenizer: Any, messages: list[dict[str, str]], **options: bool) -> str:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **options)
    assert isinstance(text, str)
    return text


@given(text=st.text())
@settings(deadline=None)
def test_any_text_comes_back_byte_for_byte_and_costs_one_token_a_byte(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    if not any(token in text for token in CONTROL_IDS):
        assert ids == list(text.encode())


@pytest.mark.parametrize("token", CONTROL_IDS)
def test_each_control_token_is_one_id(tokenizer: Any, token: str) -> None:
    assert tokenizer.encode(token) == [CONTROL_IDS[token]]


def test_thinking_stays_visible_and_turn_tokens_are_hidden_when_a_reply_is_decoded(tokenizer: Any) -> None:
    reply = tokenizer.encode("<think>\n1\n</think>\n\n42<|im_end|><|endoftext|>")
    assert tokenizer.decode(reply, skip_special_tokens=True) == "<think>\n1\n</think>\n\n42"
    assert {t for t in CONTROL_IDS if tokenizer.added_tokens_decoder[CONTROL_IDS[t]].special} == set(
        SPECIAL_TOKENS
    )


def test_every_digit_is_one_token(tokenizer: Any) -> None:
    assert len(tokenizer.encode("0123456789")) == 10


def test_every_id_has_a_token_and_the_context_is_declared(tokenizer: Any) -> None:
    assert len(tokenizer) == VOCAB_SIZE
    assert tokenizer.model_max_length == MAX_CONTEXT_TOKENS >= 1024
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_the_prompt_is_left_open_for_thinking_by_default(tokenizer: Any) -> None:
    golden = "<|im_start|>user\nWhat is 17 + 25?<|im_end|>\n<|im_start|>assistant\n"
    assert rendered(tokenizer, [USER]) == golden
    assert rendered(tokenizer, [USER], enable_thinking=True) == golden


def test_thinking_switched_off_gives_an_empty_think_block(tokenizer: Any) -> None:
    assert rendered(tokenizer, [USER], enable_thinking=False) == (
        "<|im_start|>user\nWhat is 17 + 25?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


def test_the_thinking_of_earlier_turns_is_dropped(tokenizer: Any) -> None:
    system = {"role": "system", "content": "Be brief."}
    inline = {"role": "assistant", "content": "<think>\n7 + 5 = 12\n</think>\n\n42"}
    apart = {"role": "assistant", "content": "42", "reasoning_content": "7 + 5 = 12"}
    for earlier in (inline, apart):
        assert rendered(tokenizer, [system, USER, earlier, {"role": "user", "content": "1+1"}]) == (
            "<|im_start|>system\nBe brief.<|im_end|>\n"
            "<|im_start|>user\nWhat is 17 + 25?<|im_end|>\n<|im_start|>assistant\n42<|im_end|>\n"
            "<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\n"
        )


def test_a_role_that_the_model_does_not_know_is_refused(tokenizer: Any) -> None:
    from jinja2 import TemplateError

    with pytest.raises(TemplateError, match="not tool"):
        rendered(tokenizer, [USER, {"role": "tool", "content": "42"}])
