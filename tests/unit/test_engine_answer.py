"""An answer that grows token by token: what is shown, how probable it was, and where it ends."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings

from tests.speech import encoder, table
from worker.engines.answer import Answer
from worker.engines.base import Delta
from worker.engines.logprobs import NEGLIGIBLE


def push(answer: Answer, text: str) -> list[Delta]:
    """Every token with a logprob that tells its place; pushing ends where an engine would end."""
    deltas = []
    for place, token_id in enumerate(encoder().encode_structure(text)):
        deltas.append(answer.push(token_id, -float(place), [(token_id, -float(place)), (0, -50.0)]))
        if answer.found_stop is not None:
            break
    return deltas


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.text(min_size=1, max_size=3), max_size=3),
)
def test_the_deltas_joined_are_the_choice(text: str, stops: list[str]) -> None:
    answer = Answer(table(), stops=stops, tells_logprobs=True)
    deltas = [*push(answer, "<think>\nhm</think>\n\n" + text), answer.end()]
    choice = answer.choice("stop")
    assert "".join(delta.text for delta in deltas) == choice.text
    assert "".join(delta.reasoning for delta in deltas) == (choice.reasoning or "")
    assert tuple(told for delta in deltas for told in delta.logprobs) == choice.logprobs
    assert all(delta.text or delta.reasoning or delta == Delta() for delta in deltas)
    assert not any(stop in choice.text for stop in stops)


def test_a_stop_string_ends_it_and_is_told() -> None:
    answer = Answer(table(), stops=["END", "###"])
    push(answer, "one two###three")
    choice = answer.choice("stop")
    assert (choice.text, choice.stop_reason) == ("one two", "###")


def test_the_reasoning_is_not_searched_for_stop_strings() -> None:
    answer = Answer(table(), stops=["###"])
    push(answer, "<think>a###b</think>c###d")
    choice = answer.choice("stop")
    assert (choice.reasoning, choice.text) == ("a###b", "c")


def test_each_token_of_the_answer_is_told_with_its_bytes_and_the_likeliest_beside_it() -> None:
    answer = Answer(table(), tells_logprobs=True)
    push(answer, "<think>hm</think>ab☠")
    logprobs = answer.choice("stop").logprobs
    assert logprobs is not None
    assert b"".join(bytes(told.bytes) for told in logprobs).decode() == "ab☠"
    assert [told.logprob for told in logprobs] == sorted((told.logprob for told in logprobs), reverse=True)
    assert all(told.top_logprobs[0].token == told.token for told in logprobs)


def test_tokens_behind_a_stop_string_are_not_told() -> None:
    answer = Answer(table(), stops=["b"], tells_logprobs=True)
    push(answer, "xyzb")
    choice = answer.choice("stop")
    assert choice.logprobs is not None
    assert b"".join(bytes(told.bytes) for told in choice.logprobs) == b"xyz"


def test_a_token_of_which_a_stop_string_left_a_part_is_told() -> None:
    answer = Answer(table(), stops=["tion"], tells_logprobs=True)
    (token_id,) = [t for t in encoder().encode_structure("the") if len(table().bytes_of(t)) > 1][:1]
    whole = table().bytes_of(token_id).decode()
    answer = Answer(table(), stops=[whole[1:] + "!"], tells_logprobs=True)
    answer.push(token_id, -0.5)
    answer.push(encoder().encode_content("!")[0], -0.7)
    choice = answer.choice("stop")
    assert choice.text == whole[:1]
    assert [told.logprob for told in choice.logprobs or ()] == [-0.5]


def test_without_the_wish_no_logprob_is_kept() -> None:
    answer = Answer(table())
    push(answer, "abc")
    assert answer.choice("stop").logprobs is None


def test_what_is_as_good_as_impossible_has_a_number_that_json_can_carry() -> None:
    answer = Answer(table(), tells_logprobs=True)
    token_id = encoder().encode_content("a")[0]
    answer.push(token_id, float("-inf"), [(token_id, float("-inf"))])
    (told,) = answer.choice("stop").logprobs or ()
    assert told.logprob == told.top_logprobs[0].logprob == NEGLIGIBLE
