"""Stop strings: found however the text is cut, never shown, and nothing else is held back."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from worker.engines.stops import StopStrings

LETTERS = st.text("ab", max_size=12)
STOPS = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3)


def shown(stops: list[str], pieces: list[str]) -> tuple[str, str | None]:
    seeker = StopStrings(stops)
    text = ""
    for piece in pieces:
        text += seeker.push(piece)
        if seeker.found is not None:
            return text, seeker.found
    return text + seeker.end(), None


@given(STOPS, st.lists(LETTERS, max_size=8))
def test_pieces_give_what_single_characters_give(stops: list[str], pieces: list[str]) -> None:
    assert shown(stops, pieces) == shown(stops, list("".join(pieces)))


@given(STOPS, st.lists(LETTERS, max_size=8))
def test_no_stop_string_is_ever_shown(stops: list[str], pieces: list[str]) -> None:
    text, found = shown(stops, pieces)
    whole = "".join(pieces)
    assert whole.startswith(text)
    if found is None:
        assert text == whole
        assert not any(stop in whole for stop in stops)
    else:
        assert whole[len(text) :].startswith(found)


@pytest.mark.parametrize(
    ("stops", "piece", "now"),
    [
        ([], "anything", "anything"),
        (["END"], "the E", "the "),
        (["END"], "the EN", "the "),
        (["END"], "the Ex", "the Ex"),
        (["\n\n", "###"], "a\n", "a"),
        (["aab"], "aaa", "a"),
    ],
)
def test_only_what_may_become_a_stop_string_is_held_back(stops: list[str], piece: str, now: str) -> None:
    assert StopStrings(stops).push(piece) == now


def test_of_two_the_one_that_is_whole_first_ends_the_text() -> None:
    assert shown(["abcd", "bc"], ["abcd"]) == ("a", "bc")


def test_what_comes_after_it_is_told() -> None:
    seeker = StopStrings(["</think>"])
    assert seeker.push("hm</thi") == "hm"
    assert seeker.push("nk>\nYes") == ""
    assert (seeker.found, seeker.rest) == ("</think>", "\nYes")
