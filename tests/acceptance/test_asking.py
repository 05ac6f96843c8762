"""Whatever a request may ask for, from a client to the real engine and back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quill.client import Client, DeltaEvent, DoneEvent
from quill.errors import InvalidRequest, JobFailed
from quill.job import JobRequest, PresetChoice
from tests.processes import Fleet


@pytest.fixture(scope="module")
def client(lasting_fleet: Fleet, gateway_url: str) -> Iterator[Client]:
    worker = lasting_fleet.start("worker", slots=4)
    worker.wait_for("worker_ready", within_s=120)
    with Client(gateway_url) as client:
        yield client


def test_several_answers_with_their_probabilities_stream_apart(client: Client) -> None:
    request = JobRequest(
        prompt="Repeat: hi",
        max_tokens=8,
        temperature=1.5,
        seed=3,
        thinking=False,
        stream=True,
        n=2,
        logprobs=True,
        top_logprobs=2,
    )
    job = client.submit(request)
    events = list(client.stream(job))
    deltas = [event for event in events if isinstance(event, DeltaEvent)]
    assert isinstance(events[-1], DoneEvent)
    result = events[-1].job.result
    assert result is not None
    for number, answer in enumerate((result, *result.alternatives)):
        mine = [delta for delta in deltas if delta.choice == number]
        assert "".join(delta.text for delta in mine) == answer.text
        assert tuple(told for delta in mine for told in delta.logprobs) == answer.logprobs
        assert answer.logprobs
        assert all(len(told.top_logprobs) == 2 for told in answer.logprobs)
    assert len(result.alternatives) == 1


def test_an_answer_ends_before_a_stop_string(client: Client) -> None:
    prompt = "Repeat: hello world"
    whole = client.generate(prompt, thinking=False, temperature=0)
    assert whole.text == "hello world"
    cut = client.generate(prompt, thinking=False, temperature=0, stop=["o w"])
    assert (cut.text, cut.finish_reason, cut.stop_reason) == ("hell", "stop", "o w")


def test_a_preset_is_put_before_the_prompt(client: Client) -> None:
    plain = client.generate("Hello", max_tokens=2, thinking=False)
    choice = PresetChoice(name="coding", parameters={"language": "Rust"})
    longer = client.generate("Hello", max_tokens=2, thinking=False, preset=choice)
    assert longer.usage.prompt_tokens > plain.usage.prompt_tokens + 20
    with pytest.raises(InvalidRequest) as refusal:
        client.generate("Hello", preset={"name": "poetry"})
    assert refusal.value.faults[0].pointer == "#/preset/name"


def test_what_only_the_engine_can_refuse_fails_the_job_with_a_reason(client: Client) -> None:
    with pytest.raises(JobFailed, match="no token 999999"):
        client.generate("Hello", stop_token_ids=[999_999])


def test_reasoning_within_a_budget_leaves_an_answer(client: Client) -> None:
    result = client.generate("What is 17 + 25?", thinking=True, thinking_budget=3, max_tokens=300)
    assert result.reasoning
    assert result.reasoning.endswith("based on the thinking directly now.")
    assert result.text
