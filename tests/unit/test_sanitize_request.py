"""A request's texts are sanitized each by its kind, and its caller is told where, but never what."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.sanitize.control_tokens import QWEN
from gateway.sanitize.request import sanitize_request
from quill.errors import Fault, InvalidRequest
from quill.job import JobRequest
from quill.sanitizing import RULESET, SanitizePolicy, SanitizeReport

POLICY = SanitizePolicy()
REJECT = SanitizePolicy(markup="reject", invisible="reject", control_tokens="reject")

#: What breaks programs, but not by what these steps look for.
HARMLESS = (
    *(
        "",
        " ",
        "0",
        "-1",
        "1e400",
        "NaN",
        "undefined",
        "null",
        "None",
        "true",
        "\\",
        "\\\\",
        "%s%n",
        "${HOME}",
        "$(id)",
    ),
    *(
        "' OR 1=1 --",
        '"; DROP TABLE jobs; --',
        "../../../etc/passwd",
        "C:\\con\\nul",
        "\\u0000",
        "%00",
        "%3Cb%3E",
    ),
    *(
        "{{7*7}}",
        "{% raw %}",
        "#{1}",
        "<%= 1 %>",
        "<?xml version='1.0'?>",
        "<![CDATA[x]]>",
        "<!ENTITY x>",
        "]]>",
    ),
    *(
        "() { :; }; echo",
        "-- -",
        "=cmd()",
        "@SUM(1)",
        "a" * 10_000,
        "🙂" * 500,
        "`",
        "'''",
        '"""',
        "//",
        "/*",
    ),
    *(
        "Ω≈ç√∫˜µ≤≥÷",
        "田中さん",
        "ﬁ ﬂ ﬃ",
        "ＡＢＣ＜ｘ＞",
        "𝕿𝖍𝖊",
        "İıſK",
        "ß",
        "\u2028\u2029",
        "\u3000",
        "\ufffd",
        "\ue000",
    ),
)
NAUGHTY = (
    *(
        "\0",
        "\x1b[2J",
        "\x08" * 20,
        "\x7f",
        "\ufeffBOM",
        "\u202etxt.exe",
        "\u2066a\u2069",
        "\u200b" * 99,
        "\ufffe",
    ),
    *(
        "Z" + "\u0353\u0318\u0341" * 30,
        "\u00ad",
        "x\ufe00\ufe01",
        "\U000e0061",
        "e\u0301",
        "\u1160",
        "\u3164",
    ),
    *("<script>", "<svg/onload=1>", "javascript:1", "<|im_end|>", "<think>", "</tool_call>"),
)


def request(**fields: Any) -> JobRequest:
    return JobRequest.model_validate(fields)


def sanitized(given: JobRequest, policy: SanitizePolicy = POLICY) -> tuple[JobRequest, SanitizeReport]:
    cleaned, report = sanitize_request(given, policy, QWEN)
    assert report is not None
    return cleaned, report


def faults(given: JobRequest, policy: SanitizePolicy = REJECT) -> tuple[Fault, ...]:
    with pytest.raises(InvalidRequest) as refused:
        sanitize_request(given, policy, QWEN)
    return refused.value.faults


def test_a_request_with_nothing_to_do_is_the_same_object() -> None:
    for policy in (POLICY, REJECT):
        for text in HARMLESS:
            given = request(messages=[{"role": "user", "content": text}], metadata={"a b": text[:512]})
            assert sanitize_request(given, policy, QWEN) == (given, None)
            assert sanitize_request(given, policy, QWEN)[0] is given


@pytest.mark.parametrize("text", NAUGHTY, ids=ascii)
def test_what_is_naughty_is_changed_once_and_refused_where_that_is_wished(text: str) -> None:
    cleaned, _ = sanitized(request(prompt=text))
    assert sanitize_request(cleaned, POLICY, QWEN) == (cleaned, None)
    if text != "e\u0301":
        assert [fault.pointer for fault in faults(request(prompt=text))] == ["#/prompt"]


def test_the_report_says_where_and_how_often() -> None:
    given = request(
        messages=[
            {"role": "system", "content": "You are <b>kind</b>."},
            {"role": "user", "content": "a\0\0<script>x</script>"},
            {"role": "user", "content": "<think>"},
        ]
    )
    cleaned, report = sanitized(given)
    assert [turn.content for turn in cleaned.turns] == [
        "You are <b>kind</b>.",
        "a&lt;script>x&lt;/script>",
        "< think>",
    ]
    assert report.model_dump() == {
        "ruleset": RULESET,
        "policy": POLICY.model_dump(),
        "actions": (
            {"rule": "controls", "field": "#/messages/1/content", "count": 2},
            {"rule": "active_elements", "field": "#/messages/1/content", "count": 2},
            {"rule": "control_tokens", "field": "#/messages/2/content", "count": 1},
        ),
    }


def test_whatever_else_was_asked_for_stays() -> None:
    given = request(
        prompt="a\0", **{"class": "batch"}, temperature=0.5, logit_bias={"5": 1.0}, stop=["x\0"], n=2, seed=7
    )
    cleaned, _ = sanitized(given)
    assert cleaned == given.model_copy(update={"prompt": "a"})
    assert cleaned.model_fields_set == given.model_fields_set


def test_what_fills_a_preset_is_sanitized() -> None:
    preset = {"name": "coding", "parameters": {"language": "C\u200b", "context": ["x", "<|im_end|>"]}}
    cleaned, report = sanitized(request(prompt="x", preset=preset))
    assert cleaned.preset is not None
    assert cleaned.preset.parameters == {"language": "C", "context": ("x", "< |im_end|>")}
    assert [action.field for action in report.actions] == [
        "#/preset/parameters/language",
        "#/preset/parameters/context/1",
    ]


def test_metadata_is_cleaned_of_what_is_unseen_only() -> None:
    cleaned, report = sanitized(
        request(prompt="x", metadata={"a\u200b/b": "<script>\0", "<think>": "e\u0301"})
    )
    assert cleaned.metadata == {"a/b": "<script>", "<think>": "é"}
    assert [(action.rule, action.field) for action in report.actions] == [
        ("joiners", "#/metadata/a~1b"),
        ("controls", "#/metadata/a~1b"),
        ("nfc", "#/metadata/<think>"),
    ]


def test_every_field_and_rule_that_is_refused_is_named() -> None:
    given = request(
        messages=[
            {"role": "user", "content": "<script>\u202e"},
            {"role": "user", "content": "<think> javascript:x"},
        ],
        metadata={"k": "\0"},
    )
    assert faults(given) == (
        Fault("#/messages/0/content", "has bidirectional controls, which this service does not take"),
        Fault("#/messages/0/content", "has active markup, which this service does not take"),
        Fault("#/messages/1/content", "has active markup, which this service does not take"),
        Fault("#/messages/1/content", "has control tokens of the model, which this service does not take"),
        Fault("#/metadata/k", "has control characters, which this service does not take"),
    )


def test_one_policy_refuses_what_another_mends() -> None:
    given = request(prompt="<script>\0")
    assert len(faults(given, SanitizePolicy(markup="reject"))) == 1
    assert len(faults(given, SanitizePolicy(invisible="reject"))) == 1


def test_no_answer_names_more_faults_than_it_has_room_for() -> None:
    given = request(messages=[{"role": "user", "content": "\0"}] * 100)
    assert len(faults(given)) == 20


def test_names_that_look_the_same_are_refused() -> None:
    assert faults(request(prompt="x", metadata={"a": "1", "a\u200b": "2"}), POLICY) == (
        Fault("#/metadata", "has names that look the same"),
    )


def test_what_is_too_long_or_empty_afterwards_is_refused() -> None:
    preset = {"name": "coding", "parameters": {"language": "<think>" * 2_857}}
    assert "at most 20000 characters" in faults(request(prompt="x", preset=preset), POLICY)[0].detail
    assert "at least 1 characters" in faults(request(prompt="x", metadata={"\u200b": "x"}), POLICY)[0].detail
