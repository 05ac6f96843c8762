"""The checkpoint answers questions it never saw in training."""

from __future__ import annotations

from quill.tiny import checkpoint_path
from quill.tiny.cases import held_out
from quill.tiny.evaluate import accuracy, load, replies

#: Differs from the seed that the card was measured with.
SEED = 2024


def test_every_family_is_right_on_at_least_99_in_100_held_out_cases() -> None:
    tokenizer, model = load(checkpoint_path())
    cases = held_out(SEED, count=280)
    shares = accuracy(cases, replies(tokenizer, model, cases))
    assert {family: share for family, share in shares.items() if share < 0.99} == {}
