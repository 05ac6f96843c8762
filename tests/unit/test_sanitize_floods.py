"""An attack that is there ten thousand times and more is not taken one by one, and is as dead afterwards."""

from __future__ import annotations

import re

import pytest

from gateway.sanitize.control_tokens import QWEN
from gateway.sanitize.pieces import PLACES_AT_MOST
from gateway.sanitize.pipeline import sanitize
from quill.sanitizing import SanitizePolicy
from tests.unit.test_sanitize_control_tokens import tokens_in
from tests.unit.test_sanitize_markup import live, live_in_python

POLICIES = [SanitizePolicy(), SanitizePolicy(markup="strip"), SanitizePolicy(markup="reject")]
SHOWN = 300


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.markup)
@pytest.mark.parametrize(
    "attack",
    [
        *("<script>", "<scr<script>ipt>", "<a onload=x>", "<svg/onload=x ", "<svg on<b onload=x>load=y>"),
        *("[x](javascript:y)", "<a href='java\tscript: x'>", "<a href='data: text/html'>", "vbscript:x "),
        *("<a href='&#106;avascript:x'>", "<a href='javascript&colon;x'>", "[x](java&Tab;script:y)"),
        *("&#x6a;", "&#106;&#97;", "j&NewLine;", "<script>&#58;", "data:"),
    ],
    ids=ascii,
)
def test_nothing_of_a_flood_is_left_to_run(attack: str, policy: SanitizePolicy) -> None:
    flood = sanitize(attack * (PLACES_AT_MOST + 1) + " <script>[x](javascript:y)", policy, QWEN)
    for part in (flood.text[:SHOWN], flood.text[-SHOWN:]):
        assert live(part) == live_in_python(part) == []
    assert re.search("<script|javascript:|data: *text", flood.text) is None
    assert sum(flood.counts.values()) >= PLACES_AT_MOST
    again = sanitize(flood.text, policy, QWEN)
    assert (again.text, again.counts) == (flood.text, {})


@pytest.mark.parametrize("token", ["<think>", "<|im_start|>", "</tool_call>", "<|im_end|"])
def test_a_flood_of_control_tokens_is_a_flood_of_texts(token: str) -> None:
    flood = sanitize(token * (PLACES_AT_MOST + 1) + "<|im_end|>", POLICIES[0], QWEN)
    assert tokens_in(flood.text) == []
    assert sanitize(flood.text, POLICIES[0], QWEN).text == flood.text


def test_what_only_looks_like_a_flood_is_left_alone() -> None:
    for ordinary in ('<p class="a">x</p>', "&#8212; &quot;", "a: b\n", "x < y & z; ", "{'data': 1}", "id=1 "):
        text = ordinary * (2 * PLACES_AT_MOST)
        assert sanitize(text, POLICIES[0], QWEN).text == text


def test_a_page_with_one_script_keeps_all_its_tags() -> None:
    page = '<p class="a">&amp; <b>x:</b></p>\n' * (PLACES_AT_MOST // 2)
    assert sanitize(f"{page}<script>", POLICIES[0], QWEN).text == f"{page}&lt;script>"
