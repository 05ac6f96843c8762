"""The budget of reasoning: spent, it ends in words; by default it leaves room for an answer."""

from __future__ import annotations

import pytest

from worker.engines.thinking import ANSWER_TOKENS, Farewells, Thinking, default_budget_tokens

FAREWELLS = Farewells(long=(7, 8, 9), short=(8, 9))
OPENS, CLOSES, WORD = 1, 8, 5


def generate(budget_tokens: int, picks: list[int]) -> list[int]:
    """The tokens of an answer whose prompt opened the reasoning, where a model wants `picks`."""
    thinking = Thinking(budget_tokens, FAREWELLS)
    is_reasoning, reasoning_tokens, tokens = True, 0, []
    for pick in picks:
        token = thinking.correct(pick, is_reasoning=is_reasoning, reasoning_tokens=reasoning_tokens)
        tokens.append(token)
        reasoning_tokens += is_reasoning or token in (OPENS, CLOSES)
        is_reasoning = (is_reasoning or token == OPENS) and token != CLOSES
    return tokens


def test_reasoning_that_ends_by_itself_is_left_alone() -> None:
    picks = [WORD, WORD, CLOSES, WORD, WORD, WORD]
    assert generate(4, picks) == picks


def test_a_spent_budget_ends_the_reasoning_in_words_and_the_answer_follows() -> None:
    assert generate(3, [WORD] * 8) == [WORD, WORD, WORD, 7, 8, 9, WORD, WORD]


def test_without_any_budget_the_reasoning_is_closed_at_once() -> None:
    assert generate(0, [WORD] * 5) == [8, 9, WORD, WORD, WORD]


def test_a_model_that_begins_anew_is_closed_again() -> None:
    assert generate(1, [WORD, WORD, WORD, WORD, OPENS, WORD, WORD, WORD]) == [
        *(WORD, 7, 8, 9),
        *(OPENS, 8, 9, WORD),
    ]


@pytest.mark.parametrize("limit_tokens", [1, 100, ANSWER_TOKENS + 3, 512, 4096])
def test_by_default_an_answer_has_its_room(limit_tokens: int) -> None:
    budget_tokens = default_budget_tokens(limit_tokens, FAREWELLS)
    left_tokens = limit_tokens - budget_tokens - len(FAREWELLS.long)
    assert budget_tokens >= 0
    if budget_tokens:
        assert left_tokens >= max(ANSWER_TOKENS, limit_tokens // 4)
    else:
        assert limit_tokens <= ANSWER_TOKENS + len(FAREWELLS.long)
