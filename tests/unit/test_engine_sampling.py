"""Picking tokens: each row by its own policy, exactly, whatever the row next to it does."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from worker.engines.base import Sampling
from worker.engines.policy import Policy
from worker.engines.presets import FAMILIES, Presets
from worker.engines.transformers.picker import Picker
from worker.engines.transformers.picks import Pick
from worker.engines.transformers.reweighing import reweigh
from worker.engines.transformers.sampling import CANDIDATES, pick

DRAWS = 4000
WIDE = 4 * CANDIDATES


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def picker(policy: Policy, seed: int, prompt_ids: tuple[int, ...] = (0,), **asked: object) -> Picker:
    return Picker.of(Sampling(seed=seed, **asked), policy, prompt_ids)  # type: ignore[arg-type]


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
    picks = pick(rows, [picker(policy, seed) for seed in range(DRAWS)])
    assert all(picked.is_number for picked in picks)
    return Counter(picked.token_id for picked in picks)


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
    point = picker(policy, seed).noise.random()
    token = pick(logits[None], [picker(policy, seed)])[0].token_id
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
    together = pick(logits, [picker(policy, seed) for seed, policy in enumerate(policies)])
    alone = [pick(logits[row : row + 1], [picker(policy, row)])[0] for row, policy in enumerate(policies)]
    assert together == alone


def test_a_flat_distribution_reaches_beyond_the_candidates() -> None:
    seen = drawn(torch.zeros(WIDE), Policy(temperature=1.0))
    assert len(seen) > 3 * CANDIDATES


def test_greedy_rows_take_the_best_and_draw_nothing() -> None:
    greedy = picker(Policy(), seed=1)
    fresh = greedy.noise.getstate()
    assert pick(torch.tensor([[1.0, 3.0, 2.0]]), [greedy]) == [Pick(1)]
    assert greedy.noise.getstate() == fresh


@pytest.mark.parametrize("policy", [Policy(), Policy(temperature=1.0), Policy(temperature=1.0, top_k=2)])
def test_a_row_that_is_no_number_is_told_and_spoils_no_other(policy: Policy) -> None:
    logits = torch.tensor([[0.0, math.nan, 1.0], [9.0, 0.0, -9.0], [0.0, 1.0, math.inf]])
    picks = pick(logits, [picker(policy, 0, logprobs=True) for _ in range(3)])
    assert [picked.is_number for picked in picks] == [False, True, False]
    assert picks[1].token_id == 0


def test_what_a_request_leaves_out_comes_from_the_checkpoint() -> None:
    preset = Policy(temperature=0.7, top_k=20, top_p=0.8, repetition_penalty=1.05)
    assert Policy.of(Sampling(), preset) == preset
    assert Policy.of(Sampling(top_k=0), preset) == replace(preset, top_k=0)
    assert Policy.of(Sampling(temperature=0.0), preset).is_greedy
    assert Policy.of(Sampling(top_p=0.5), Policy()).is_greedy
    assert Policy.of(Sampling(temperature=1.0), Policy()) == Policy(temperature=1.0)
    assert Policy.of(Sampling(repetition_penalty=1.0), preset).repetition_penalty == 1.0


def test_what_the_checkpoint_leaves_out_comes_from_its_family() -> None:
    told = SimpleNamespace(do_sample=True, temperature=None, top_k=30, top_p=None)
    presets = Presets.of(told, "qwen3_moe")
    assert presets.policy(is_reasoning=True) == Policy(temperature=0.6, top_k=30, top_p=0.95)
    assert presets.policy(is_reasoning=False) == Policy(temperature=0.7, top_k=30, top_p=0.8)
    assert Presets.of(SimpleNamespace(), "qwen3_5_text").reasoning == FAMILIES["qwen3_5"][1]


def test_a_checkpoint_that_says_it_does_not_sample_is_greedy() -> None:
    presets = Presets.of(SimpleNamespace(do_sample=False, temperature=0.6, repetition_penalty=1.1), "qwen3")
    assert presets.answering == presets.reasoning == Policy(repetition_penalty=1.1)


def penalised(logits: list[float], policy: Policy, prompt: list[int], answer: list[int]) -> list[float]:
    """By the book, a token at a time."""
    found = list(logits)
    for token_id in {*prompt, *answer}:
        value = found[token_id]
        value = value / policy.repetition_penalty if value > 0 else value * policy.repetition_penalty
        count = answer.count(token_id)
        found[token_id] = value - policy.presence_penalty * (count > 0) - policy.frequency_penalty * count
    return found


TOKENS = st.lists(st.integers(0, 11), max_size=30)
PENALTIES = st.builds(
    Policy,
    repetition_penalty=st.sampled_from([0.5, 1.0, 1.05, 2.0]),
    presence_penalty=st.sampled_from([-1.0, 0.0, 1.5]),
    frequency_penalty=st.sampled_from([-0.5, 0.0, 0.3]),
)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(PENALTIES, TOKENS.filter(bool), TOKENS), min_size=1, max_size=5), st.integers(0, 99)
)
def test_penalties_are_those_of_the_book_in_every_row(
    rows: list[tuple[Policy, list[int], list[int]]], seed: int
) -> None:
    logits = torch.randn(len(rows), 12, generator=torch.Generator().manual_seed(seed)) * 3
    expected = [
        penalised(row, policy, prompt, answer)
        for row, (policy, prompt, answer) in zip(logits.tolist(), rows, strict=True)
    ]
    pickers = [picker(policy, 0, tuple(prompt)) for policy, prompt, _ in rows]
    for each, (_, _, answer) in zip(pickers, rows, strict=True):
        for token_id in answer:
            each.note(token_id)
    reweigh(logits, pickers)
    torch.testing.assert_close(logits, torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_a_bias_is_added_before_anything_is_picked() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    assert pick(logits, [picker(Policy(), 0, logit_bias={0: 5.0})])[0].token_id == 0
    banned = [picker(Policy(temperature=2.0), seed, logit_bias={1: -100.0, 2: -100.0}) for seed in range(50)]
    assert {picked.token_id for picked in pick(logits.expand(50, -1), banned)} == {0}


def test_probabilities_are_the_models_own_whatever_was_done_to_its_logits() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]])
    policy = Policy(temperature=0.5, top_k=1, repetition_penalty=1.5)
    told = picker(policy, 0, logit_bias={0: 9.0}, logprobs=True, top_logprobs=2)
    first, second = pick(logits, [told, picker(Policy(), 0)])
    expected = logits[0].log_softmax(0)
    assert first.token_id == 0
    assert first.logprob == pytest.approx(float(expected[0]))
    assert [token_id for token_id, _ in first.top] == [1, 2]
    assert [value for _, value in first.top] == pytest.approx([float(expected[1]), float(expected[2])])
    assert (second.logprob, second.top) == (None, ())
