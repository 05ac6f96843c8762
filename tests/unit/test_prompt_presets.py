"""Prompt presets: filled in once, never searched again, extended by a deployment."""

from __future__ import annotations

from pathlib import Path

import pytest

from quill.errors import InvalidRequest
from quill.job import JobRequest, Message, PresetChoice, TemplateOptions
from quill.prompts import PresetUnreadable, PromptPresets


def asked(name: str, prompt: str = "Sort a list.", **parameters: str | tuple[str, ...]) -> JobRequest:
    return JobRequest(prompt=prompt, preset=PresetChoice(name=name, parameters=parameters))


def system_of(request: JobRequest, presets: PromptPresets | None = None) -> str:
    applied = (presets or PromptPresets.load()).apply(request)
    assert applied.preset is None
    assert applied.turns[0].role == "system"
    return applied.turns[0].content


def test_a_request_without_a_preset_stays_as_it_is() -> None:
    request = JobRequest(prompt="Hi")
    assert PromptPresets.load().apply(request) is request


def test_the_places_are_filled_in_and_the_prompt_follows() -> None:
    request = asked("coding", language="Rust", constraints="no unsafe", context="a parser")
    applied = PromptPresets.load().apply(request)
    system, user = applied.turns
    assert "Write Rust." in system.content
    assert "no unsafe" in system.content
    assert "a parser" in system.content
    assert (user.role, user.content) == ("user", "Sort a list.")


def test_a_paragraph_whose_place_is_left_open_is_left_out() -> None:
    text = system_of(asked("coding", language="Go"))
    assert "constraints" not in text
    assert "belongs to" not in text
    assert "{" not in text


def test_a_place_may_have_several_values() -> None:
    assert "French, 中文" in system_of(asked("multilingual", languages=("French", "中文")))


def test_what_is_filled_in_is_not_searched_for_places() -> None:
    text = system_of(asked("coding", language="{context}", context="{language}"))
    assert "Write {context}." in text
    assert "{language}" in text


def test_a_preset_sets_only_what_the_request_leaves_open() -> None:
    presets = PromptPresets.load()
    assert presets.apply(asked("reasoning")).thinking is True
    own = asked("reasoning").model_copy(update={"thinking": False})
    assert presets.apply(own).thinking is False
    told = TemplateOptions(enable_thinking=False)
    other = asked("reasoning").model_copy(update={"chat_template_kwargs": told})
    assert presets.apply(other).wants_thinking is False


def test_a_conversation_that_is_full_has_no_room_for_a_preset() -> None:
    turns = tuple(Message(role="user", content="x") for _ in range(1024))
    request = JobRequest(messages=turns, preset=PresetChoice(name="reasoning"))
    with pytest.raises(InvalidRequest):
        PromptPresets.load().apply(request)


def test_it_goes_before_the_callers_own_system_message() -> None:
    turns = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
    request = JobRequest(messages=turns, preset=PresetChoice(name="reasoning"))
    assert system_of(request).endswith("\n\nBe brief.")


@pytest.mark.parametrize(
    ("request_", "pointer", "says"),
    [
        (asked("poetry"), "#/preset/name", "coding, multilingual, reasoning"),
        (asked("coding", mood="sunny"), "#/preset/parameters/mood", "constraints, context, language"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    request_: JobRequest, pointer: str, says: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        PromptPresets.load().apply(request_)
    (fault,) = refusal.value.faults
    assert fault.pointer == pointer
    assert says in fault.detail


def test_a_deployment_adds_its_own_and_replaces_ours(tmp_path: Path) -> None:
    (tmp_path / "poetry.toml").write_text('text = "Write {form}."\n[parameters]\nform = "a sonnet"')
    (tmp_path / "coding.toml").write_text('text = "We write COBOL."')
    presets = PromptPresets.load(tmp_path)
    assert system_of(asked("poetry"), presets) == "Write a sonnet."
    assert system_of(asked("poetry", form="a haiku"), presets) == "Write a haiku."
    assert system_of(asked("coding"), presets) == "We write COBOL."


@pytest.mark.parametrize(
    "text",
    ["no toml", "title = 'x'", "text = 'x'\n[defaults]\nmodel = 'm'", "text = 'x'\n[defaults]\ntop_k = -1"],
)
def test_a_preset_that_cannot_be_read_stops_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.toml").write_text(text)
    with pytest.raises(PresetUnreadable, match="broken"):
        PromptPresets.load(tmp_path)
