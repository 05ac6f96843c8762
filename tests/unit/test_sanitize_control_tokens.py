"""No text has a control token in it, neither from the start nor because something between was removed."""

from __future__ import annotations

import itertools

import pytest

from gateway.sanitize.control_tokens import QWEN, ControlTokens
from gateway.sanitize.pipeline import sanitize
from quill.sanitizing import SanitizePolicy
from tests.checkpoints import SPECIAL_TOKENS, VISIBLE_TOKENS

TOKENS = (*SPECIAL_TOKENS, *VISIBLE_TOKENS)
POLICIES = (SanitizePolicy(), SanitizePolicy(markup="strip"))


def tokens_in(text: str) -> list[str]:
    return [token for token in TOKENS if token in text]


@pytest.mark.parametrize("token", TOKENS)
def test_a_space_breaks_every_token_of_qwen(token: str) -> None:
    sanitized = sanitize(f"a{token}b", SanitizePolicy(), QWEN)
    assert sanitized.text == f"a{token[0]} {token[1:]}b"
    assert sanitized.counts == {"control_tokens": 1}


@pytest.mark.parametrize(
    "between", ["\0", "\u200b", "\u202e", "\u2060", "\ufe0f", "\ufffe", "\U000e0041", "\u00ad"]
)
def test_what_is_removed_does_not_put_a_token_together(between: str) -> None:
    for token, cut in itertools.product(TOKENS, (1, 2, -1)):
        for policy in POLICIES:
            text = sanitize(f"{token[:cut]}{between * 3}{token[cut:]}", policy, QWEN).text
            assert not tokens_in(text)
            assert text.replace(" ", "") == token


def test_nor_does_stripped_markup() -> None:
    for token in TOKENS:
        text = sanitize(f"{token[:2]}<script>{token[2:]}", SanitizePolicy(markup="strip"), QWEN).text
        assert text == f"{token[0]} {token[1:]}"


def test_tokens_within_tokens_are_all_broken() -> None:
    for outer, inner in itertools.product(TOKENS, repeat=2):
        assert not tokens_in(sanitize(outer[:2] + inner + outer[2:] + inner, SanitizePolicy(), QWEN).text)


def test_tokens_are_kept_for_who_wants_them() -> None:
    text = "".join(TOKENS)
    assert sanitize(text, SanitizePolicy(control_tokens="keep"), QWEN).text == text


def test_no_token_is_added_by_qwen_that_is_not_known_here() -> None:
    text = " ".join(TOKENS)
    assert sanitize(text, SanitizePolicy(), QWEN).counts == {"control_tokens": len(TOKENS)}


def test_another_model_has_other_tokens() -> None:
    tokens = ControlTokens.of(["[INST]", "[/INST]", "<s>", "<<SYS>>", "aba", "c d", r"\w(?"])
    for text, broken in (
        ("[INST] hi [/INST]", "[ INST] hi [ /INST]"),
        ("<s><<SYS>>", "< s>< <SYS>>"),
        ("ababa", "a ba ba"),
        ("c d", "c  d"),
        (r"\w(?", r"\ w(?"),
        ("<|im_start|>", "<|im_start|>"),
    ):
        sanitized = sanitize(text, SanitizePolicy(), tokens)
        assert sanitized.text == broken
        assert sanitize(broken, SanitizePolicy(), tokens).text == broken


def test_a_token_that_is_made_by_the_space_is_broken_too() -> None:
    tokens = ControlTokens.of(["ab", "a b", "a  b"])
    assert tokens.escape("ab") == ("a   b", 3)


def test_tokens_that_no_space_can_break_are_left() -> None:
    tokens = ControlTokens.of(["", " ", "\n\n", "x", " y "])
    assert tokens.escape("x y \n\n") == ("x y \n\n", 0)
