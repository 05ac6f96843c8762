"""How many prompt tokens a pass reads."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engines.limits import PASS_TARGET_S
from worker.engines.transformers.pace import FIRST_TOKENS, LEAST_TOKENS, Pace


def settle(pace: Pace, fixed_s: float, tokens_per_s: float) -> list[int]:
    """Passes as large as they may be -> how large they were."""
    chunks = []
    for _ in range(20):
        chunks.append(pace.chunk_tokens)
        pace.note(pace.chunk_tokens, fixed_s + pace.chunk_tokens / tokens_per_s)
    return chunks


def test_the_first_pass_is_small_and_quick_ones_grow_to_the_most() -> None:
    assert settle(Pace(1000), 0.0, 10_000)[:5] == [FIRST_TOKENS, 256, 512, 1000, 1000]


@pytest.mark.parametrize(
    ("tokens_per_s", "chunk"), [(10_000, 256), (600, 256), (500, 128), (200, 64), (5, 32)]
)
def test_a_pass_comes_to_take_its_target_at_most(tokens_per_s: int, chunk: int) -> None:
    assert settle(Pace(256), 0.0, tokens_per_s)[-1] == chunk
    assert chunk == LEAST_TOKENS or chunk / tokens_per_s <= PASS_TARGET_S


def test_a_slow_pass_halves_what_the_next_one_reads() -> None:
    assert settle(Pace(256), 0.0, 50)[:4] == [128, 64, 32, 32]


def test_a_pass_that_was_slow_although_it_was_small_makes_the_next_one_smaller_than_it() -> None:
    pace = Pace(256)
    pace.note(40, 1.0)
    assert pace.chunk_tokens == 32


def test_quick_passes_grow_again() -> None:
    pace = Pace(256)
    settle(pace, 0.0, 50)
    assert settle(pace, 0.0, 10_000)[:5] == [32, 64, 128, 256, 256]


def test_a_small_pass_that_was_quick_says_nothing_of_a_large_one() -> None:
    pace = Pace(256)
    pace.note(64, 0.01)
    assert pace.chunk_tokens == FIRST_TOKENS


@given(
    most_tokens=st.integers(1, 8192),
    us_per_token=st.integers(1, 20_000),
    fills=st.lists(st.floats(0.01, 1), max_size=30),
)
def test_however_full_the_passes_are_none_is_let_grow_beyond_the_target(
    most_tokens: int, us_per_token: int, fills: list[float]
) -> None:
    pace = Pace(most_tokens)
    for fill in fills:
        tokens = math.ceil(fill * pace.chunk_tokens)
        chunk_before = pace.chunk_tokens
        pace.note(tokens, tokens * us_per_token / 1e6)
        assert pace.chunk_tokens <= chunk_before or pace.chunk_tokens * us_per_token / 1e6 <= PASS_TARGET_S


def test_what_every_pass_costs_does_not_let_it_swing() -> None:
    assert set(settle(Pace(256), 0.2, 500)) == {128}


def test_a_small_bound_is_kept() -> None:
    pace = Pace(4)
    pace.note(4, 10.0)
    assert pace.chunk_tokens == 4
