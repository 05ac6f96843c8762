"""Picking tokens: each row by its own policy, exactly, whatever the row next to it does."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from worker.engines.base import Sampling
from worker.engines.policy import Picker, Policy, model_policy
from worker.engines.sampling import CANDIDATES, pick

DRAWS = 4000
WIDE = 4 * CANDIDATES


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def allowed(logits: torch.Tensor, policy: Policy) -> dict[int, float]:
    """The distribution by the book: temperature, then top-k, top-p and min-p over the sorted vocabulary."""
    ordered, tokens = (logits.double() / policy.temperature).sort(descending=True)
    if policy.top_k:
        ordered, tokens = ordered[: policy.top_k], tokens[: policy.top_k]
    probabilities = ordered.softmax(0)
    kept = (probabilities.cumsum(0) - probabilities < policy.top_p) | torch.tensor(policy.top_p == 1.0)
    kept &= probabilities >= policy.min_p * probabilities[0]
    chosen = probabilities * kept
    shares = chosen / chosen.sum()
    return {
        int(token): float(share) for token, share in zip(tokens, shares, strict=True) if float(share) > 0.0
    }


def drawn(logits: torch.Tensor, policy: Policy) -> Counter[int]:
    rows = logits.expand(DRAWS, -1)
    tokens, usable = pick(rows, [Picker.seeded(policy, seed) for seed in range(DRAWS)])
    assert all(usable)
    return Counter(tokens)


@pytest.mark.parametrize(
    "policy",
    [
        Policy(temperature=1.0),
        Policy(temperature=0.5),
        Policy(temperature=1.0, top_k=3),
        Policy(temperature=1.5, top_p=0.6),
        Policy(temperature=1.0, min_p=0.2),
        Policy(temperature=0.9, top_k=6, top_p=0.8, min_p=0.1),
    ],
)
def test_tokens_are_drawn_as_often_as_their_probability_says(policy: Policy) -> None:
    logits = torch.tensor([0.0, 2.0, 1.0, 3.0, -1.0, 2.5, 0.5, 1.5])
    expected, seen = allowed(logits, policy), drawn(logits, policy)
    assert seen.keys() <= expected.keys()
    for token, share in expected.items():
        spread = math.sqrt(share * (1 - share) / DRAWS)
        assert abs(seen[token] / DRAWS - share) < 5 * spread + 1e-9


POLICIES = st.builds(
    Policy,
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 5, CANDIDATES, CANDIDATES + 44]),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 0.999, 1.0]),
    min_p=st.sampled_from([0.0, 0.01, 0.3]),
)


@settings(deadline=None, max_examples=150)
@given(policy=POLICIES, seed=st.integers(0, 1000), scale=st.sampled_from([0.1, 1.0, 4.0]))
def test_a_vocabulary_wider_than_the_candidates_is_treated_exactly(
    policy: Policy, seed: int, scale: float
) -> None:
    logits = torch.randn(WIDE, generator=torch.Generator().manual_seed(seed)) * scale
    expected = allowed(logits, policy)
    ordered = sorted(expected.items(), key=lambda item: float(logits[item[0]]), reverse=True)
    point = Picker.seeded(policy, seed).noise.random()
    (token,), _ = pick(logits[None], [Picker.seeded(policy, seed)])
    assert token in expected or math.isclose(
        float(logits[token]), float(logits[ordered[-1][0]]), rel_tol=1e-4
    )
    if policy.top_k or policy.top_p < 1.0:
        below = 0.0
        for candidate, share in ordered:
            if candidate == token:
                break
            below += share
        assert below - 1e-4 <= point <= below + expected.get(token, 0.0) + 1e-4


@settings(deadline=None, max_examples=60)
@given(policies=st.lists(POLICIES | st.just(Policy()), min_size=1, max_size=8))
def test_a_row_is_picked_alike_alone_and_among_others(policies: list[Policy]) -> None:
    logits = torch.randn(len(policies), WIDE, generator=torch.Generator().manual_seed(0)) * 2
    together, _ = pick(logits, [Picker.seeded(policy, seed) for seed, policy in enumerate(policies)])
    alone = [
        pick(logits[row : row + 1], [Picker.seeded(policy, row)])[0][0] for row, policy in enumerate(policies)
    ]
    assert together == alone


def test_a_flat_distribution_reaches_beyond_the_candidates() -> None:
    seen = drawn(torch.zeros(WIDE), Policy(temperature=1.0))
    assert len(seen) > 3 * CANDIDATES


def test_greedy_rows_take_the_best_and_draw_nothing() -> None:
    picker = Picker.seeded(Policy(), seed=1)
    fresh = picker.noise.getstate()
    assert pick(torch.tensor([[1.0, 3.0, 2.0]]), [picker]) == ([1], [True])
    assert picker.noise.getstate() == fresh


@pytest.mark.parametrize("policy", [Policy(), Policy(temperature=1.0), Policy(temperature=1.0, top_k=2)])
def test_a_row_that_is_no_number_is_told_and_spoils_no_other(policy: Policy) -> None:
    logits = torch.tensor([[0.0, math.nan, 1.0], [9.0, 0.0, -9.0], [0.0, 1.0, math.inf]])
    tokens, usable = pick(logits, [Picker.seeded(policy, 0) for _ in range(3)])
    assert usable == [False, True, False]
    assert tokens[1] == 0


def test_what_a_request_leaves_out_comes_from_the_checkpoint() -> None:
    preset = Policy(temperature=0.7, top_k=20, top_p=0.8)
    assert Policy.of(Sampling(), preset) == preset
    assert Policy.of(Sampling(top_k=0), preset) == Policy(temperature=0.7, top_k=0, top_p=0.8)
    assert Policy.of(Sampling(temperature=0.0), preset).is_greedy
    assert Policy.of(Sampling(top_p=0.5), Policy()).is_greedy
    assert Policy.of(Sampling(temperature=1.0), Policy()) == Policy(temperature=1.0)


def test_a_checkpoint_that_does_not_ask_for_sampling_is_greedy() -> None:
    assert model_policy(SimpleNamespace(do_sample=None, temperature=0.6)) == Policy()
    sampled = SimpleNamespace(do_sample=True, temperature=None, top_k=20, top_p=0.95)
    assert model_policy(sampled) == Policy(temperature=1.0, top_k=20, top_p=0.95)
