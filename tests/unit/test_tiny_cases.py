"""The case generator: torch-free, seeded, held out, and each case's own right answer passes its check."""

from __future__ import annotations

import subprocess
import sys
from random import Random
from typing import Any

import pytest

from quill.tiny import checkpoint_path, thoughts
from quill.tiny.cases import FAMILIES, check, held_out, is_held_out, repeat_of
from quill.tiny.data import IGNORED, Example, conversation, encode
from quill.tiny.drills import sums


def written(item: Example) -> list[int]:
    """What the model itself must write in this example."""
    return [label for label in item.labels if label != IGNORED]


def test_cases_need_no_torch() -> None:
    code = "import sys, quill.tiny.cases; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_seed_gives_the_same_cases_over_every_family_and_both_modes() -> None:
    cases = held_out(seed=7, count=140)
    assert cases == held_out(seed=7, count=140) != held_out(seed=8, count=140)
    assert {(case.family, case.thinking) for case in cases} == {
        (family, thinking) for family in FAMILIES for thinking in (False, True)
    }
    assert all(is_held_out(case) or case.family == "fact" for case in cases)


def test_about_one_sum_in_ten_is_held_out_in_both_orders() -> None:
    rng = Random(1)
    drawn = [FAMILIES["add"](rng) for _ in range(5000)]
    assert 0.07 < sum(map(is_held_out, drawn)) / len(drawn) < 0.13
    fates: dict[frozenset[str], set[bool]] = {}
    for case in drawn:
        fates.setdefault(frozenset(case.bare.split("+")), set()).add(is_held_out(case))
    assert all(len(fate) == 1 for fate in fates.values())


def test_the_right_answer_passes_with_and_without_its_thinking_and_a_wrong_one_fails() -> None:
    for case in held_out(seed=3, count=70):
        assert check(case, case.expected)
        assert check(case, f"<think>\n{case.thought}\n</think>\n\n{case.expected}\n")
        assert not check(case, f"{case.expected}!")
        assert not check(case, f"<think>\n{case.expected}")


def test_a_repeat_of_a_given_length_is_that_many_tokens_long() -> None:
    for length_chars in (1, 2, 64, 200):
        case = repeat_of(length_chars, seed=length_chars)
        assert len(case.expected.encode()) == length_chars == len(case.expected.strip())


@pytest.mark.parametrize(
    ("a", "b", "working"),
    [
        (17, 25, "17 - 25: 17 < 25, 15 - 7 = 8, 2 - 1 - 1 = 0, so -8."),
        (40, 40, "40 - 40: 40 = 40, 0 - 0 = 0, 4 - 4 - 0 = 0, so 0."),
    ],
)
def test_subtraction_is_worked_digit_by_digit(a: int, b: int, working: str) -> None:
    assert thoughts.subtraction(a, b) == working


def test_addition_is_worked_digit_by_digit() -> None:
    assert thoughts.addition(17, 25) == "17 + 25: 7 + 5 = 12, 1 + 2 + 1 = 4, so 42."


def test_training_reads_exactly_what_the_chat_template_renders() -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint_path())
    for case in held_out(seed=5, count=28):
        item = encode(case, earlier=[], system="Be kind.")
        messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": case.prompt}]
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=case.thinking
        )
        reply = written(item)
        assert item.ids == tokenizer.encode(text) + reply
        assert check(case, tokenizer.decode(reply, skip_special_tokens=True))
        assert len(reply) <= case.max_tokens


def test_training_never_shows_a_held_out_text_or_sum() -> None:
    rng = Random(0)
    texts = {
        tuple(written(encode(case, [], None))) for case in held_out(3, 400, ("repeat",)) if len(case.key) > 8
    }
    assert not texts & {tuple(written(conversation(rng, growth=1.0))) for _ in range(2000)}
    drilled = {line for _ in range(500) for line in bytes(sums(rng).ids).decode().split()}
    assert not drilled & {f"{case.bare}={case.expected}" for case in held_out(4, 400, ("add", "subtract"))}
