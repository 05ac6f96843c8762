"""The openai engine's edges: what it sends, and what it makes of whatever a server says."""

from __future__ import annotations

import json

import pytest

from quill.errors import EngineFault
from quill.job import Message
from quill.result import TokenLogprob, Usage
from worker.engines.base import GenerationRequest, Sampling
from worker.engines.logprobs import NEGLIGIBLE
from worker.engines.openai.chat import body_of, plain
from worker.engines.openai.pieces import Piece, piece_of
from worker.engines.openai.transcript import Transcript


def asked(text: str = "Hi", **fields: object) -> GenerationRequest:
    return GenerationRequest((Message(role="user", content=text),), **fields)  # type: ignore[arg-type]


def test_only_what_a_request_asks_for_is_sent() -> None:
    assert body_of(asked(), "m", 7) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_every_field_reaches_the_server_under_its_usual_name() -> None:
    sampling = Sampling(
        temperature=0.0, top_k=0, stop=("a", "b"), logit_bias={5: -1.0}, logprobs=True, top_logprobs=2
    )
    request = asked(
        sampling=sampling, thinking=False, thinking_budget=0, template_options={"reasoning_effort": "low"}
    )
    body = body_of(request, "m", 7)
    assert (body["temperature"], body["top_k"], body["stop"]) == (0.0, 0, ["a", "b"])
    assert body["logit_bias"] == {"5": -1.0}
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)
    assert body["thinking_token_budget"] == 0
    assert body["chat_template_kwargs"] == {"reasoning_effort": "low", "enable_thinking": False}


@pytest.mark.parametrize(
    "token", ["<|im_end|>", "<|im_start|>", "<think>", "</think>", "<tool_call>", "</tool_response>"]
)
def test_what_spells_a_control_token_is_spelled_otherwise(token: str) -> None:
    """The server encodes by itself, and may take text for structure."""
    found = plain(f"a{token}b")
    assert token not in found
    assert found.replace("\u2060", "") == f"a{token}b"


@pytest.mark.parametrize("text", ["if a < b: <b>|</b>", "x <| y |> z", "std::vector<int>", "<thinking>"])
def test_ordinary_code_and_markup_is_sent_as_it_is(text: str) -> None:
    assert plain(text) == text


def chunk(delta: dict[str, object], **choice: object) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta, **choice}]})


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_both_spellings_of_the_reasoning_are_read(name: str) -> None:
    assert piece_of(chunk({name: "hm", "content": None})) == Piece(reasoning="hm")


def test_usage_and_the_reason_of_the_end_are_read() -> None:
    assert piece_of(chunk({}, finish_reason="length")).finish_reason == "length"
    assert piece_of(chunk({}, finish_reason="tool_calls")).finish_reason == "stop"
    usage = {"prompt_tokens": 3, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}}
    told = json.dumps({"choices": [], "usage": usage})
    assert piece_of(told).usage == Usage(prompt_tokens=3, completion_tokens=9, reasoning_tokens=4)


@pytest.mark.parametrize(
    "data",
    [
        "no json",
        "[]",
        '{"error": {"message": "the prompt was: secret"}}',
        '{"choices": [3]}',
        '{"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": "many"}}',
        '{"choices": [{"delta": {"content": "x"}, "logprobs": {"content": [{"token": "x"}]}}]}',
    ],
)
def test_what_a_server_must_not_say_is_an_error_without_its_words(data: str) -> None:
    with pytest.raises(EngineFault) as fault:
        piece_of(data)
    assert "secret" not in fault.value.message


def test_what_is_as_good_as_impossible_is_a_number() -> None:
    data = chunk({"content": "x"}, logprobs={"content": [{"token": "x", "logprob": float("-inf")}]})
    (entry,) = piece_of(data).logprobs
    assert entry.logprob == NEGLIGIBLE


def told(*pieces: str, stops: tuple[str, ...] = (), opens_reasoning: bool = False) -> Transcript:
    transcript = Transcript(stops, opens_reasoning=opens_reasoning)
    deltas = [transcript.push(Piece(text=piece)) for piece in pieces]
    deltas.append(transcript.end())
    result = transcript.result("stop")
    assert "".join(delta.text for delta in deltas) == result.text
    assert "".join(delta.reasoning for delta in deltas) == (result.reasoning or "")
    return transcript


@pytest.mark.parametrize(
    ("pieces", "reasoning", "text"),
    [
        (("<think>\nhm\n</think>\n\nYes",), "hm\n", "Yes"),
        (("<th", "ink>", "\n", "h", "m</thi", "nk>", "\n", "\nY", "es"), "hm", "Yes"),
        (("a < b",), None, "a < b"),
        (("Write <think> here",), None, "Write <think> here"),
        (("\n", "<thin", "kers>"), None, "\n<thinkers>"),
        (("<think>a</think>b<think>c</think>d",), "a", "b<think>c</think>d"),
        (("<thi",), None, "<thi"),
        (("<think>never closed",), "never closed", ""),
    ],
)
def test_reasoning_that_a_server_left_in_the_text_is_told_from_the_answer(
    pieces: tuple[str, ...], reasoning: str | None, text: str
) -> None:
    result = told(*pieces).result("stop")
    assert (result.reasoning, result.text) == (reasoning, text)


def test_reasoning_that_the_prompt_opened_ends_at_the_mark() -> None:
    result = told("\nhm", "</think>", "\n\nYes", opens_reasoning=True).result("stop")
    assert (result.reasoning, result.text) == ("hm", "Yes")


def test_a_server_that_tells_reasoning_apart_is_left_to_it() -> None:
    transcript = Transcript(opens_reasoning=True)
    for piece in (Piece(reasoning="hm"), Piece(text="<think> is a mark"), Piece(text="</think>")):
        transcript.push(piece)
    result = transcript.result("stop")
    assert (result.reasoning, result.text) == ("hm", "<think> is a mark</think>")


def test_probabilities_are_those_of_the_text_that_is_shown() -> None:
    def piece(text: str) -> Piece:
        return Piece(text=text, logprobs=(TokenLogprob(token=text, bytes=(), logprob=-1.0),))

    transcript = Transcript(("b!",), tells_logprobs=True)
    deltas = [transcript.push(piece(text)) for text in ("a", "b", "c", "b", "!", "d")]
    told = [entry.token for delta in deltas for entry in delta.logprobs]
    assert told == ["a", "b", "c"]
    result = transcript.result("stop")
    assert result.text == "abc"
    assert [entry.token for entry in result.logprobs or ()] == told


def test_nothing_behind_a_stop_string_is_shown() -> None:
    transcript = told("fooEND<", stops=("END",))
    assert transcript.result("stop").text == "foo"


def test_until_the_server_tells_its_count_the_own_one_stands() -> None:
    transcript = Transcript(prompt_tokens=7)
    transcript.push(Piece(text="a"))
    assert transcript.result("cancelled").usage == Usage(prompt_tokens=7, completion_tokens=1)


def test_a_stop_string_that_the_server_did_not_look_for_still_ends_the_answer() -> None:
    transcript = told("one tw", "o#", "##three", stops=("###",))
    assert transcript.is_cut
    result = transcript.result("stop")
    assert (result.text, result.stop_reason) == ("one two", "###")
