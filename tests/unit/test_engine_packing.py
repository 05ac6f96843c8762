"""Packed layers compute what plain ones do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from worker.engines.transformers.packing import is_bf16_fast, pack_linears

#: Weights in bfloat16 are packed only where the CPU computes in it.
DTYPES = [torch.float32, *([torch.bfloat16] if is_bf16_fast() else [])]


class Block(nn.Module):
    def __init__(self, *, has_bias: bool) -> None:
        super().__init__()
        self.q_proj = nn.Linear(16, 24, bias=has_bias)
        self.k_proj = nn.Linear(16, 8, bias=has_bias)
        self.v_proj = nn.Linear(16, 8, bias=has_bias)
        self.o_proj = nn.Linear(24, 16, bias=False)

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        query = self.q_proj(rows)
        return query, self.k_proj(rows), self.v_proj(rows), self.o_proj(query)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 16), (5, 1, 16), (3, 7, 16)])
def test_the_same_numbers_come_out(has_bias: bool, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    block = Block(has_bias=has_bias).to(dtype)
    inputs = [torch.randn(shape).to(dtype) for _ in range(3)]
    with torch.inference_mode():
        expected = [block(rows) for rows in inputs]
        pack_linears(block)
        found = [block(rows) for rows in inputs]
    assert not any(isinstance(module, nn.Linear) for module in block.modules())
    for before, after in zip(expected, found, strict=True):
        for one, other in zip(before, after, strict=True):
            torch.testing.assert_close(one, other, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_input_that_was_changed_is_computed_anew(dtype: torch.dtype) -> None:
    torch.set_num_threads(1)
    block = Block(has_bias=False).to(dtype)
    rows = torch.randn(2, 16).to(dtype)
    with torch.inference_mode():
        pack_linears(block)
        first = block.q_proj(rows).clone()
        rows += 1
        second = block.q_proj(rows)
    assert not torch.equal(first, second)
