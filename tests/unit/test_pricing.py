"""What fits is accepted without a tokenizer; what cannot fit is refused by count."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from quill.errors import ContextLengthExceeded
from quill.job import JobRequest
from quill.pricing import ModelFacts, measure, surely_fits

FACTS = ModelFacts(context_tokens=100, base_tokens=5, message_tokens=5)


def words(text: str) -> int:
    return len(text.split())


def test_a_prompt_of_few_bytes_surely_fits() -> None:
    assert surely_fits(JobRequest(prompt="x" * 89), FACTS)
    assert not surely_fits(JobRequest(prompt="x" * 90), FACTS)
    assert not surely_fits(JobRequest(prompt="x", max_tokens=90), FACTS)


def test_the_answer_gets_the_room_that_is_left() -> None:
    price = measure(JobRequest(prompt="a " * 60), FACTS, words)
    assert (price.prompt_tokens, price.answer_tokens) == (70, 30)


def test_an_explicit_answer_must_fit_beside_the_prompt() -> None:
    request = JobRequest(prompt="a " * 60, max_tokens=31)
    with pytest.raises(ContextLengthExceeded, match="70 tokens and max_tokens 31"):
        measure(request, FACTS, words)


@given(text=st.text(max_size=200), max_tokens=st.none() | st.integers(1, 100))
def test_what_surely_fits_is_never_refused_by_count(text: str, max_tokens: int | None) -> None:
    request = JobRequest(prompt=text, max_tokens=max_tokens)
    if surely_fits(request, FACTS):
        measure(request, FACTS, lambda part: len(part.encode()))
