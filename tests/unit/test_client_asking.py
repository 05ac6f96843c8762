from __future__ import annotations

from typing import Any

import pytest

from quill.client.asking import body_of, header_safe, job_request, keyed
from quill.errors import InvalidRequest
from quill.job import JobClass, JobRequest, Message


def test_a_prompt_and_options_make_a_request() -> None:
    made = job_request("Hi", {"max_tokens": 5, "job_class": "batch", "metadata": {"a": "b"}, "seed": None})
    assert made == JobRequest.model_validate(
        {"prompt": "Hi", "max_tokens": 5, "metadata": {"a": "b"}, "class": JobClass.BATCH}
    )


def test_messages_may_be_models_or_mappings() -> None:
    made = job_request(
        None, {"messages": [Message(role="system", content="s"), {"role": "user", "content": "u"}]}
    )
    assert [(turn.role, turn.content) for turn in made.turns] == [("system", "s"), ("user", "u")]


def test_a_ready_request_is_taken_as_it_is() -> None:
    ready = JobRequest(prompt="Hi")
    assert job_request(ready, {}) is ready


def test_a_ready_request_goes_with_no_options() -> None:
    with pytest.raises(InvalidRequest, match="max_tokens"):
        job_request(JobRequest(prompt="Hi"), {"max_tokens": 5})


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"max_tokens": 0}, "#/max_tokens"),
        ({"max_tokens": "5"}, "#/max_tokens"),
        ({"temperature": float("nan")}, "#/temperature"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "#/messages/0/role"),
        ({"messages": []}, "#/messages"),
        ({"job_class": "vip"}, "#/class"),
        ({"metadata": {"a/b~": 1}}, "#/metadata/a~1b~0"),
        ({"colour": "blue"}, "#/colour"),
    ],
)
def test_a_wrong_field_is_pointed_at_before_anything_is_sent(options: Any, pointer: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        job_request(None if "messages" in options else "Hi", options)
    assert caught.value.faults[0].pointer == pointer


@pytest.mark.parametrize(
    ("prompt", "options"), [(None, {}), ("Hi", {"messages": [{"role": "user", "content": "u"}]})]
)
def test_there_is_exactly_one_prompt(prompt: str | None, options: Any) -> None:
    with pytest.raises(InvalidRequest):
        job_request(prompt, options)


def test_text_that_utf8_cannot_carry_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="surrogates"):
        body_of(JobRequest.model_construct(prompt="a\ud800", metadata={}))


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "a\nb", "x" * 256])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest):
        header_safe(key)


def test_every_request_of_a_batch_has_a_key_of_its_own() -> None:
    keys = [key for _, key in keyed(["a", "a", JobRequest(prompt="a")], None)]
    assert len(set(keys)) == 3
    assert not set(keys) & {key for _, key in keyed(["a"] * 3, None)}


def test_a_batch_with_a_prefix_has_the_same_keys_again() -> None:
    assert [key for _, key in keyed(["a", "b"], "night")] == ["night-0", "night-1"]
