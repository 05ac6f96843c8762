"""What holds for any text and any policy."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sanitize.control_tokens import QWEN
from gateway.sanitize.pipeline import sanitize
from quill.sanitizing import SanitizePolicy
from tests.unit.test_sanitize_control_tokens import TOKENS, tokens_in
from tests.unit.test_sanitize_markup import ATTACKS, live

#: Pieces that some step on the way may put together.
PIECES = (
    *(
        "<",
        "</",
        ">",
        "/",
        "=",
        '"',
        "'",
        " ",
        "\n",
        "\t",
        "\f",
        "&",
        "#",
        ";",
        ":",
        "a",
        "x",
        "\\",
        "[",
        "](",
        ")",
    ),
    *(
        "<a ",
        "<svg",
        "<b>",
        "<!--",
        "-->",
        "<title>",
        "</title>",
        "scr",
        "ipt",
        "<scr",
        "script",
        "<script",
        "object",
    ),
    *(
        "iframe",
        "embed ",
        "on",
        "load",
        "onload",
        " onload=",
        "onclick=x",
        ' b="',
        " c='",
        '="',
        "='",
        "href=",
    ),
    *(
        "java",
        "javascript",
        "javascript:",
        "vb",
        "script:",
        "data:",
        "text/html",
        "&colon;",
        "&Tab;",
        "&#9",
        "&#x0a",
    ),
    *("&#106;", "&#x61", "&#0000097;", "j", "v", "d", "&sol;", "&lt;", "&#61;", "&#58;"),
    *(
        "\0",
        "\x1b",
        "\x85",
        "\u200b",
        "\u200c",
        "\u200d",
        "\u200e",
        "\u202e",
        "\u061c",
        "\ufeff",
        "\u2060",
        "\ufe0f",
    ),
    *(
        "\ufe00",
        "\U000e0100",
        "\U000e0067",
        "\U000e0062",
        "\U000e007f",
        "🏴",
        "👩",
        "❤",
        "\u180b",
        "\u180e",
        "ᠮ",
        "\ufffe",
    ),
    *(
        "\u0301",
        "\u0334" * 4,
        "\u0323",
        "\u094d",
        "क",
        "\u0958",
        "\u0344",
        "א",
        "\ufb1d",
        "م",
        "ក",
        "葛",
        "Ω",
        "Ω",
        "\u0338",
    ),
    *("<|", "im_", "start|>", "|>", "<think", "think>", "tool_call>"),
    *TOKENS,
    *ATTACKS,
)
LONG_BYTES = 300_000
texts = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PIECES), max_size=24).map("".join),
    st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=12).map("".join),
)
policies = st.builds(
    SanitizePolicy,
    markup=st.sampled_from(["escape", "strip", "reject", "keep"]),
    invisible=st.sampled_from(["strip", "reject", "keep"]),
    control_tokens=st.sampled_from(["escape", "reject", "keep"]),
)


@settings(max_examples=1500, deadline=None)
@given(texts, policies)
def test_a_second_pass_changes_nothing(text: str, policy: SanitizePolicy) -> None:
    once = sanitize(text, policy, QWEN)
    twice = sanitize(once.text, policy, QWEN)
    assert (twice.text, dict(twice.counts)) == (once.text, {})


@settings(max_examples=1500, deadline=None)
@given(texts, policies)
def test_nothing_that_is_not_kept_remains(text: str, policy: SanitizePolicy) -> None:
    rest = sanitize(text, policy, QWEN).text
    if policy.markup != "keep":
        assert live(rest) == []
    if policy.control_tokens != "keep":
        assert tokens_in(rest) == []
    if policy.invisible != "keep":
        assert unicodedata.is_normalized("NFC", rest)
        assert all(char in "\t\n\r" or unicodedata.category(char) != "Cc" for char in rest)


@settings(max_examples=500, deadline=None)
@given(texts, policies)
def test_what_was_changed_is_counted_and_nothing_else(text: str, policy: SanitizePolicy) -> None:
    sanitized = sanitize(text, policy, QWEN)
    assert bool(sanitized.counts) == (sanitized.text != text)


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "Zs"])), policies)
def test_plain_words_are_the_very_same_object(text: str, policy: SanitizePolicy) -> None:
    assert sanitize(text, policy, QWEN).text is text


@pytest.mark.parametrize("policy", [SanitizePolicy(), SanitizePolicy(markup="strip")], ids=str)
@pytest.mark.parametrize(
    "piece",
    [
        *(
            "<",
            "<a",
            "<a ",
            "<a b=",
            '<a b="',
            "<a b='\"",
            "<scr",
            "<script ",
            "</",
            "<|",
            "<|im_start|",
            "<object ",
        ),
        *(
            "&#",
            "&#0",
            "&#106;",
            "&Tab;",
            "j&Tab;",
            "javascript",
            "javascript:",
            "data:",
            "dvj",
            "=",
            '="',
            "='",
            " onab=",
        ),
        *(
            "\u200b",
            "\u200d",
            "a\u200d",
            "क\u200d",
            "👩\u200d",
            "\ufe0f",
            "\u0301\u0323",
            "e\u0301",
            "\u0334",
            "\u202e",
            "\0",
        ),
        *("🏴\U000e0067", "\U000e0041", "\u0958", "\U0001d160", " ", "\n"),
        *("<a' b=\"><a\" b='>", "<scr<script>ipt>", "<svg on<b onload=x>load=y>"),
    ],
    ids=ascii,
)
def test_much_of_anything_is_no_more_than_much(piece: str, policy: SanitizePolicy) -> None:
    """A step that took the square of the length would not come back within the time that a test has."""
    text = piece * (LONG_BYTES // len(piece.encode()))
    for sample in (text, f"<a onload={text}", f'<a b="{text}>', text + "<script>"):
        sanitize(sample, policy, QWEN)


def test_deep_nesting_takes_no_longer_than_its_length() -> None:
    depth = LONG_BYTES // 10
    for outer, rest in (("<scr", "ipt>"), ("java", "script:"), ("<svg on<b ", "load=y>")):
        text = outer * depth + "<script>" + rest * depth
        assert live(sanitize(text, SanitizePolicy(markup="strip"), QWEN).text[-1000:]) == []
