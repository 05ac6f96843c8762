"""Text from tokens: whole characters, in order, nothing twice, and reasoning apart from the answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from quill.errors import EngineError
from tests.speech import encoder, table
from worker.engines.base import Delta
from worker.engines.text import TextStream, TokenTable


def ids_of(text: str) -> list[int]:
    """Control tokens in the text are control tokens."""
    return list(encoder().tokenizer.encode(text, add_special_tokens=False).ids)


@dataclass(frozen=True)
class Shown:
    text: str
    reasoning: str | None
    reasoning_tokens: int
    deltas: list[Delta]


def run(ids: list[int], is_reasoning: bool = False) -> Shown:
    stream = TextStream(table(), is_reasoning)
    deltas = [stream.push(token_id) for token_id in ids]
    text = "".join(delta.text for delta in deltas)
    reasoning = "".join(delta.reasoning for delta in deltas) or None
    return Shown(text, reasoning, stream.reasoning_tokens, deltas)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_back_as_the_tokenizer_itself_decodes_it(text: str) -> None:
    ids = encoder().encode_content(text)
    assert run(ids).text == encoder().tokenizer.decode(ids)


@settings(deadline=None)
@given(st.lists(st.integers(0, 255), max_size=60))
def test_any_bytes_come_back_as_the_tokenizer_itself_decodes_them(ids: list[int]) -> None:
    expected = encoder().tokenizer.decode(ids)
    text = run(ids).text
    assert expected.startswith(text)
    assert set(expected[len(text) :]) <= {"\ufffd"}


def test_a_character_in_several_tokens_appears_when_it_is_whole() -> None:
    ids = encoder().encode_content("☠!")
    assert len(ids) == 4
    assert [delta.text for delta in run(ids).deltas] == ["", "", "☠", "!"]


def test_half_a_character_at_the_end_is_not_shown() -> None:
    ids = encoder().encode_content("a☠")
    assert run(ids[:-1]).text == "a"


def test_special_tokens_and_holes_in_the_vocabulary_show_nothing_and_the_others_do() -> None:
    ids = [*ids_of("a<|im_start|><tool_call>b"), 10_000]
    assert run(ids).text == "a<tool_call>b"


@pytest.mark.parametrize(
    ("answer", "reasoning", "text"),
    [
        ("<think>\nWhy?\n\nSo.\n</think>\n\nBecause.\n", "Why?\n\nSo.", "Because.\n"),
        ("<think>\n\n</think>\n\nYes", None, "Yes"),
        ("No <think> at all", " at all", "No "),
        ("Yes\n\n", None, "Yes\n\n"),
        ("<think>one</think>a<think>two</think>b", "onetwo", "ab"),
        ("<think>never closed\n", "never closed", ""),
        ("a</think>\nb", None, "ab"),
    ],
)
def test_reasoning_is_told_from_the_answer(answer: str, reasoning: str | None, text: str) -> None:
    shown = run(ids_of(answer))
    assert (shown.reasoning, shown.text) == (reasoning, text)


def test_reasoning_that_the_prompt_opened_needs_no_opening() -> None:
    shown = run(ids_of("\nhm\n</think>\n\nYes"), is_reasoning=True)
    assert (shown.reasoning, shown.text) == ("hm", "Yes")
    assert shown.deltas[-1].reasoning == ""


def test_reasoning_tokens_are_those_between_the_marks_and_the_marks() -> None:
    ids = ids_of("<think>\nhm\n</think>\n\nYes")
    assert run(ids).reasoning_tokens == ids.index(table().reasoning_closes_id or 0) + 1


def test_a_half_character_before_a_mark_is_dropped() -> None:
    half = encoder().encode_content("☠")[:2]
    assert run([*half, *ids_of("</think>ok")]).text == "ok"


def test_time_grows_with_the_length_only() -> None:
    """Bytes that never become a character make a decoder that looks back look back for ever."""
    began_s = time.process_time()
    run([encoder().encode_content("☠")[1]] * 50_000)
    assert time.process_time() - began_s < 2.0


def test_a_tokenizer_without_bytes_is_refused() -> None:
    from tokenizers import Tokenizer, models

    with pytest.raises(EngineError, match="byte-level"):
        TokenTable.of(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
