"""Beginnings that prompts have in common: measured exactly, kept apart by salt."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from worker.engines.transformers.prefixes import LEAST_TOKENS, Prefix, Remains, common_tokens

IDS = st.lists(st.integers(0, 1), max_size=200)


@given(IDS, IDS, IDS.filter(bool))
def test_as_many_tokens_as_both_begin_with_but_never_the_last(
    shared: list[int], held: list[int], ids: list[int]
) -> None:
    held, ids = shared + held, shared + ids
    most = min(len(held), len(ids) - 1)
    expected = next((place for place in range(most) if held[place] != ids[place]), most)
    assert common_tokens(held, ids) == expected


def test_the_slot_that_begins_most_alike_is_found_among_those_that_are_free() -> None:
    remains = Remains(4)
    prompt = list(range(100))
    remains.leave(0, "a", prompt[:90])
    remains.leave(1, "a", [*prompt[:50], 7])
    remains.leave(2, "a", prompt[:40])
    assert remains.longest([1, 2, 3], "a", prompt) == Prefix(1, 50)
    assert remains.longest([0, 1, 2, 3], "a", prompt) == Prefix(0, 90)
    remains.forget(0)
    assert remains.longest([0, 2, 3], "a", prompt) == Prefix(2, 40)


def test_another_salt_shares_nothing() -> None:
    remains = Remains(1)
    remains.leave(0, "a", list(range(100)))
    assert remains.longest([0], "b", list(range(100))) is None
    assert remains.longest([0], "", list(range(100))) is None


def test_a_short_beginning_is_read_anew() -> None:
    remains = Remains(1)
    remains.leave(0, "a", list(range(LEAST_TOKENS - 1)))
    assert remains.longest([0], "a", list(range(100))) is None
