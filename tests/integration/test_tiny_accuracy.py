"""The checkpoint answers questions it never saw in training."""

from __future__ import annotations

from quill.tiny import checkpoint_path
from quill.tiny.cases import check, held_out
from quill.tiny.evaluate import accuracy, load, replies

#: Differs from the seed that the card was measured with.
SEED = 2024


def test_at_least_99_in_100_held_out_answers_are_right() -> None:
    tokenizer, model = load(checkpoint_path())
    cases = held_out(SEED, count=600)
    answers = replies(tokenizer, model, cases)
    right = [check(case, answer) for case, answer in zip(cases, answers, strict=True)]
    by_family = accuracy(cases, answers)
    assert sum(right) / len(right) >= 0.99, by_family
    assert min(by_family.values()) >= 0.97, by_family
