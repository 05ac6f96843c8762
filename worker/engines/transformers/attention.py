"""How far each token of a pass looks back.

On a GPU all rows are attended to at once, over the widest of them, and a mask hides what is not a row's own.
On a CPU a row shares a call only with rows about as long as it: at 26 rows of 96 to 288 tokens a layer took
3.2 ms row by row, and 4.1 ms at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

#: Names of transformers' own kind, and of the one below.
AT_ONCE = "sdpa"
BY_LENGTH = "quill_by_length"

#: A call of its own costs about as much as so many keys that are looked at in vain.
CALL_COST_KEYS = 64


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring rows that share a call."""

    rows: slice
    #: At the rows' right ends; what stands before them is padding.
    queries: int
    #: Keys, of which the last are the queries' own.
    width: int
    #: [rows, 1, queries of the heads that share keys, width], true where one looks; none where each looks at
    #: all. Made once a pass, for all layers.
    mask: torch.Tensor | None


def kind(device: torch.device) -> str:
    return BY_LENGTH if device.type == "cpu" else AT_ONCE


@dataclass(frozen=True, slots=True)
class Attention:
    """How one model attends."""

    kind: str
    #: Query heads that share keys.
    heads_per_key: int
    #: Whether some of its layers are linear.
    is_hybrid: bool

    @classmethod
    def of(cls, config: Any, is_hybrid: bool) -> Attention:
        """From the text part of a transformers configuration."""
        heads_per_key = config.num_attention_heads // config.num_key_value_heads
        return cls(config._attn_implementation, heads_per_key, is_hybrid)

    def reach(self, starts: list[int], counts: list[int], positions: torch.Tensor) -> dict[str, Any]:
        """The arguments of a model's body that tell it; a row reads `counts` tokens from `starts` on, padded
        at its left, at `positions` [rows, queries], which are negative for padding.
        """
        is_by_length = self.kind == BY_LENGTH
        told: dict[str, Any] = {}
        if is_by_length:
            told["attention_runs"] = self._runs(starts, counts, positions)
        mask = None if is_by_length else _mask(starts, counts, positions)
        if not self.is_hybrid:
            return told | {"attention_mask": mask}
        # Only prompts that nothing was read of are padded together.
        states_mask = positions >= 0 if min(counts) < max(counts) else None
        return told | {"attention_mask": {"full_attention": mask, "linear_attention": states_mask}}

    def _runs(self, starts: list[int], counts: list[int], positions: torch.Tensor) -> list[Run]:
        tokens = [start + count for start, count in zip(starts, counts, strict=True)]
        runs, first = [], 0
        for end in range(1, len(tokens) + 1):
            if end == len(tokens) or not _share_a_call(tokens[first : end + 1], counts[first : end + 1]):
                runs.append(self._run(slice(first, end), counts[first], tokens[first:end], positions))
                first = end
        return runs

    def _run(self, rows: slice, queries: int, tokens: list[int], positions: torch.Tensor) -> Run:
        width = max(tokens)
        if queries == 1 and min(tokens) == width:
            return Run(rows, queries, width, None)
        looks = _looks(positions[rows, -queries:], width)
        return Run(rows, queries, width, looks.repeat(1, 1, self.heads_per_key, 1))


def _share_a_call(tokens: list[int], counts: list[int]) -> bool:
    in_vain = (max(tokens) * len(tokens) - sum(tokens)) * counts[0]
    return len(set(counts)) == 1 and in_vain <= CALL_COST_KEYS


def _mask(starts: list[int], counts: list[int], positions: torch.Tensor) -> torch.Tensor | None:
    """[rows, 1, queries, width]; none where the kernels' own idea of causality is right."""
    queries = max(counts)
    if len(set(starts)) == 1 and min(counts) == queries and (queries == 1 or starts[0] == 0):
        return None
    return _looks(positions, max(start + count for start, count in zip(starts, counts, strict=True)))


def _looks(positions: torch.Tensor, width: int) -> torch.Tensor:
    """[rows, 1, queries, width], true where a query looks."""
    # A padding query looks at the first token: at nothing it would be NaN.
    return (torch.arange(width, device=positions.device) <= positions.clamp(min=0)[:, :, None])[:, None]


def attend_by_length(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    attention_runs: list[Run],
    scaling: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """query [rows, heads, queries, head_dim], key and value [rows, kv_heads, width, head_dim]
    -> [rows, queries, heads, head_dim].

    Heads that share keys are queries of one head: the keys are read once, and never repeated.
    """
    rows, heads, queries, head_dim = query.shape
    kv_heads = key.shape[1]
    output = query.new_zeros((rows, queries, heads, head_dim))
    for run in attention_runs:
        asked = query[run.rows, :, queries - run.queries :]
        attended = scaled_dot_product_attention(
            asked.reshape(len(asked), kv_heads, -1, head_dim),
            key[run.rows, :, : run.width],
            value[run.rows, :, : run.width],
            attn_mask=run.mask,
            scale=scaling,
        )
        by_head = attended.reshape(len(asked), heads, run.queries, head_dim)
        output[run.rows, queries - run.queries :] = by_head.transpose(1, 2)
    return output, None


AttentionInterface.register(BY_LENGTH, attend_by_length)
