"""Rows attended to by length give what one call over all of them gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from worker.engines.transformers.attention import (
    AT_ONCE,
    BY_LENGTH,
    CALL_COST_KEYS,
    Attention,
    Run,
    attend_by_length,
)

HEADS, KV_HEADS, HEAD_DIM = 4, 2, 8


def positions_of(starts: list[int], counts: list[int]) -> torch.Tensor:
    ends = torch.tensor([start + count for start, count in zip(starts, counts, strict=True)])
    return ends[:, None] + torch.arange(-max(counts), 0)


def reach(kind: str, starts: list[int], counts: list[int], *, is_hybrid: bool = False) -> dict[str, Any]:
    attention = Attention(kind, HEADS // KV_HEADS, is_hybrid)
    return attention.reach(starts, counts, positions_of(starts, counts))


def runs(starts: list[int], counts: list[int]) -> list[Run]:
    told = reach(BY_LENGTH, starts, counts)
    found: list[Run] = told["attention_runs"]
    return found


def attended(starts: list[int], counts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """By length, and at once -> each [rows, queries, heads, head_dim]."""
    torch.manual_seed(0)
    width = max(start + count for start, count in zip(starts, counts, strict=True))
    query = torch.randn(len(starts), HEADS, max(counts), HEAD_DIM)
    key, value = (torch.randn(len(starts), KV_HEADS, width, HEAD_DIM) for _ in range(2))
    by_length, _ = attend_by_length(
        torch.nn.Module(), query, key, value, None, attention_runs=runs(starts, counts), scaling=0.3
    )
    looks = torch.arange(width) <= positions_of(starts, counts).clamp(min=0)[:, :, None]
    at_once = scaled_dot_product_attention(
        query, key, value, attn_mask=looks[:, None], scale=0.3, enable_gqa=True
    )
    return by_length, at_once.transpose(1, 2)


@pytest.mark.parametrize(
    ("starts", "counts"),
    [
        ([5], [1]),
        ([3, 3, 3], [1, 1, 1]),
        ([2, 90, 7, 300, 299], [1, 1, 1, 1, 1]),
        ([0, 0], [6, 6]),
        ([4], [6]),
        ([0, 40, 0], [6, 6, 6]),
    ],
)
def test_rows_of_any_lengths_see_what_is_theirs(starts: list[int], counts: list[int]) -> None:
    by_length, at_once = attended(starts, counts)
    torch.testing.assert_close(by_length, at_once)


def test_padding_sees_nothing_and_is_a_number() -> None:
    by_length, at_once = attended([0, 10, 0], [6, 2, 1])
    for row, count in enumerate([6, 2, 1]):
        torch.testing.assert_close(by_length[row, 6 - count :], at_once[row, 6 - count :])
        assert not by_length[row, : 6 - count].any()


def test_a_rows_attention_does_not_depend_on_who_is_beside_it() -> None:
    torch.manual_seed(0)
    query = torch.randn(2, HEADS, 1, HEAD_DIM)
    key, value = (torch.randn(2, KV_HEADS, 400, HEAD_DIM) for _ in range(2))
    both, _ = attend_by_length(
        torch.nn.Module(), query, key, value, None, attention_runs=runs([20, 399], [1, 1])
    )
    alone, _ = attend_by_length(
        torch.nn.Module(), query[:1], key[:1], value[:1], None, attention_runs=runs([20], [1])
    )
    assert torch.equal(both[:1], alone)


def test_rows_about_as_long_share_a_call_and_others_do_not() -> None:
    assert [run.rows for run in runs([9, 9, 9 + CALL_COST_KEYS // 2], [1, 1, 1])] == [slice(0, 3)]
    assert [run.rows for run in runs([9, 9 + 2 * CALL_COST_KEYS], [1, 1])] == [slice(0, 1), slice(1, 2)]
    assert [run.rows for run in runs([0, 0], [4, 5])] == [slice(0, 1), slice(1, 2)]


def test_rows_as_long_as_each_other_need_no_mask_to_decode() -> None:
    assert [run.mask for run in runs([9, 9], [1, 1])] == [None]
    assert runs([0], [4])[0].mask is not None


def test_on_a_gpu_one_mask_hides_what_is_not_a_rows_own() -> None:
    starts, counts = [2, 5], [1, 1]
    told = reach(AT_ONCE, starts, counts)
    assert told["attention_mask"].sum(dim=-1).flatten().tolist() == [3, 6]
    alike = reach(AT_ONCE, [2, 2], counts)
    assert alike == {"attention_mask": None}


@pytest.mark.parametrize("kind", [AT_ONCE, BY_LENGTH])
def test_linear_layers_are_told_of_padding_alone(kind: str) -> None:
    padded = reach(kind, [0, 0], [2, 1], is_hybrid=True)
    assert padded["attention_mask"]["linear_attention"].tolist() == [[True, True], [False, True]]
    full = reach(kind, [0, 0], [2, 2], is_hybrid=True)
    assert full["attention_mask"]["linear_attention"] is None
