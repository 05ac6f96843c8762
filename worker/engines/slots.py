"""The preallocated cache: one slot a sequence, seen by an unmodified model as an ordinary transformers cache.

Nothing is gathered, grown or concatenated while tokens are produced: a step writes in place and reads a view.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass(frozen=True, slots=True)
class CacheShape:
    """What one model's attention keeps for a token."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype

    @property
    def bytes_per_token(self) -> int:
        return 2 * self.layers * self.kv_heads * self.head_dim * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Window:
    """What the coming forward pass touches."""

    #: The slots of its rows: a slice where they are neighbours (read as a view), else their numbers.
    rows: slice | torch.Tensor
    #: The slot of every row, [rows, 1].
    slot_ids: torch.Tensor
    #: Where each new token's keys and values go, [rows, queries].
    write_at: torch.Tensor
    #: Positions that are read: those of the widest row.
    width: int
    queries: int


class SlotLayer(CacheLayerMixin):
    """Keys and values, [slots, kv_heads, capacity + 1, head_dim]; the last position is scratch."""

    supports_early_init = False

    def __init__(self, shape: CacheShape, slots: int, capacity_tokens: int, device: torch.device) -> None:
        super().__init__()
        size = (slots, shape.kv_heads, capacity_tokens + 1, shape.head_dim)
        # Zeros, not `empty`: a masked position's weight is 0, and 0 x NaN is NaN.
        self.keys = torch.zeros(size, dtype=shape.dtype, device=device)
        self.values = torch.zeros(size, dtype=shape.dtype, device=device)
        self.is_initialized = True
        self.window: Window | None = None

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing is left to do: a slot cache is allocated when it is made."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        window = self._focused()
        at = (window.slot_ids, slice(None), window.write_at)
        self.keys[at] = key_states.transpose(1, 2)
        self.values[at] = value_states.transpose(1, 2)
        return self.keys[window.rows, :, : window.width], self.values[window.rows, :, : window.width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._focused().width, 0

    def get_seq_length(self) -> int:
        window = self._focused()
        return window.width - window.queries

    def get_max_length(self) -> int:
        return int(self.keys.shape[2]) - 1

    def _focused(self) -> Window:
        if self.window is None:
            raise RuntimeError("the slot cache has no window")
        return self.window


class SlotCache(Cache):
    """The layers of all slots, and the moves that keep the decoding rows a prefix of them."""

    def __init__(self, shape: CacheShape, slots: int, capacity_tokens: int, device: torch.device) -> None:
        super().__init__(
            layers=[SlotLayer(shape, slots, capacity_tokens, device) for _ in range(shape.layers)]
        )
        self.slots = slots
        self.capacity_tokens = capacity_tokens
        self.device = device

    def focus(self, slots: list[int], starts: list[int], counts: list[int]) -> None:
        """The next pass writes `counts` tokens a row from `starts` on; rows are padded at their right."""
        queries = max(counts)
        reach = torch.arange(queries, device=self.device)
        first = torch.tensor(starts, device=self.device)[:, None]
        ids = torch.tensor(slots, device=self.device)
        are_neighbours = slots == list(range(slots[0], slots[0] + len(slots)))
        window = Window(
            rows=slice(slots[0], slots[0] + len(slots)) if are_neighbours else ids,
            slot_ids=ids[:, None],
            # Padding lands past its row's end, where all is written before it is read; it must not land past
            # the slot's end.
            write_at=(first + reach).clamp(max=self.capacity_tokens),
            width=max(start + count for start, count in zip(starts, counts, strict=True)),
            queries=queries,
        )
        for layer in self.layers:
            layer.window = window

    def move(self, source: int, target: int, tokens: int) -> None:
        for layer in self.layers:
            layer.keys[target, :, :tokens] = layer.keys[source, :, :tokens]
            layer.values[target, :, :tokens] = layer.values[source, :, :tokens]

    def swap(self, one: int, other: int, tokens: int) -> None:
        pair, crossed = [one, other], [other, one]
        for layer in self.layers:
            layer.keys[pair, :, :tokens] = layer.keys[crossed, :, :tokens]
            layer.values[pair, :, :tokens] = layer.values[crossed, :, :tokens]

    def clear(self, slot: int) -> None:
        """After a failure: what is not a number must not outlive its sequence."""
        for layer in self.layers:
            layer.keys[slot].zero_()
            layer.values[slot].zero_()
