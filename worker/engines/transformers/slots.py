"""The preallocated cache: one slot a sequence, seen by an unmodified model as an ordinary transformers cache.

Nothing is gathered, grown or concatenated while tokens are produced: a step writes in place and reads a view.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, LinearAttentionCacheLayerMixin

from worker.engines.transformers.shape import STATE_DTYPE, AttentionShape, CacheShape, LinearShape


@dataclass(frozen=True, slots=True)
class Window:
    """What the coming forward pass touches."""

    #: The slots of its rows: a slice where they are neighbours (read as a view), else their numbers.
    rows: slice | torch.Tensor
    #: Where each new token goes [rows, queries], and in which slot [rows, 1].
    write_at: torch.Tensor
    slots: torch.Tensor
    #: Positions that are read: those of the widest row.
    width: int
    queries: int


class AttentionSlots(CacheLayerMixin):
    """Keys and values, [slots, kv_heads, capacity + 1, head_dim]; the last position is scratch.

    A head's are next to each other: attention, which reads them all, is the most of what is done to them.
    """

    supports_early_init = False

    def __init__(self, shape: AttentionShape, slots: int, capacity_tokens: int, device: torch.device) -> None:
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
        return self._replaced(self.keys, key_states), self._replaced(self.values, value_states)

    def _replaced(self, held: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Writes the states [rows, kv_heads, queries, head_dim]; gives all that its rows hold."""
        window = self._focused()
        held[window.slots, :, window.write_at] = states.transpose(1, 2)
        return held[window.rows, :, : window.width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._focused().width, 0

    def get_seq_length(self) -> int:
        window = self._focused()
        return window.width - window.queries

    def get_max_length(self) -> int:
        return int(self.keys.shape[2]) - 1

    def focus(self, window: Window) -> None:
        self.window = window

    def copy(self, source: int, target: int, tokens: int) -> None:
        for held in (self.keys, self.values):
            held[target, :, :tokens] = held[source, :, :tokens]

    def swap(self, one: int, other: int, tokens: int) -> None:
        for held in (self.keys, self.values):
            held[[one, other], :, :tokens] = held[[other, one], :, :tokens]

    def commit(self) -> None:
        """All is written: a pass that comes again writes the same in the same place."""

    def begin(self, slot: int) -> None:
        """What an earlier sequence left behind is never read."""

    def clear(self, slot: int) -> None:
        self.keys[slot].zero_()
        self.values[slot].zero_()

    def _focused(self) -> Window:
        if self.window is None:
            raise RuntimeError("the slot cache has no window")
        return self.window


class LinearSlots(LinearAttentionCacheLayerMixin):
    """The states of a linear layer, [slots, ...]. A slot that begins holds zeros, which is no state at all.

    Unlike keys and values, which are written anew at their place, a state that was moved on cannot be read
    again: a pass works on copies, and only `commit` brings them back.
    """

    def __init__(self, shape: LinearShape, slots: int, device: torch.device) -> None:
        super().__init__()
        self._conv = torch.zeros(
            (slots, shape.conv_channels, shape.conv_width), dtype=shape.dtype, device=device
        )
        self._recurrent = torch.zeros(
            (slots, shape.heads, shape.key_dim, shape.value_dim), dtype=STATE_DTYPE, device=device
        )
        self._rows: slice | torch.Tensor = slice(0, slots)
        self.has_previous_state = {0: True}

    def lazy_initialization(
        self,
        conv_states: torch.Tensor | None = None,
        recurrent_states: torch.Tensor | None = None,
        state_idx: int = 0,
    ) -> None:
        """Nothing is left to do: a slot cache is allocated when it is made."""

    def focus(self, window: Window) -> None:
        self._rows = window.rows
        self.conv_states = {0: self._conv[window.rows].clone()}
        self.recurrent_states = {0: self._recurrent[window.rows]}

    def update_conv_state(self, conv_states: torch.Tensor, state_idx: int = 0, **_: object) -> torch.Tensor:
        """The inputs with those before them, which the convolution looks back on."""
        past = self.conv_states[state_idx]
        whole = torch.cat([past, conv_states], dim=-1)
        past.copy_(whole[..., -past.shape[-1] :])
        return whole

    def update_recurrent_state(
        self, recurrent_states: torch.Tensor, state_idx: int = 0, **_: object
    ) -> torch.Tensor:
        self.recurrent_states = {state_idx: recurrent_states}
        return recurrent_states

    def commit(self) -> None:
        self._conv[self._rows] = self.conv_states[0]
        self._recurrent[self._rows] = self.recurrent_states[0]

    def copy(self, source: int, target: int, tokens: int) -> None:
        for states in (self._conv, self._recurrent):
            states[target] = states[source]

    def swap(self, one: int, other: int, tokens: int) -> None:
        for states in (self._conv, self._recurrent):
            states[[one, other]] = states[[other, one]]

    def begin(self, slot: int) -> None:
        for states in (self._conv, self._recurrent):
            states[slot].zero_()

    def clear(self, slot: int) -> None:
        self.begin(slot)


class SlotCache(Cache):
    """The layers of all slots, and the moves that keep the decoding rows a prefix of them."""

    def __init__(self, shape: CacheShape, slots: int, capacity_tokens: int, device: torch.device) -> None:
        super().__init__(
            layers=[
                AttentionSlots(layer, slots, capacity_tokens, device)
                if isinstance(layer, AttentionShape)
                else LinearSlots(layer, slots, device)
                for layer in shape.layers
            ]
        )
        self.slots = slots
        self.capacity_tokens = capacity_tokens
        self.device = device
        self.is_hybrid = shape.is_hybrid

    def focus(self, slots: list[int], starts: list[int], counts: list[int]) -> None:
        """The next pass writes `counts` tokens a row from `starts` on; rows are padded at their left."""
        queries = max(counts)
        ids = torch.tensor(slots, device=self.device)
        are_neighbours = slots == list(range(slots[0], slots[0] + len(slots)))
        offsets = [start + count - queries for start, count in zip(starts, counts, strict=True)]
        write_at = torch.tensor(offsets, device=self.device)[:, None] + torch.arange(
            queries, device=self.device
        )
        if min(counts) < queries:
            padding = torch.tensor([queries - count for count in counts], device=self.device)
            is_padding = torch.arange(queries, device=self.device) < padding[:, None]
            write_at = write_at.masked_fill(is_padding, self.capacity_tokens)
        window = Window(
            rows=slice(slots[0], slots[0] + len(slots)) if are_neighbours else ids,
            write_at=write_at,
            slots=ids[:, None],
            width=max(start + count for start, count in zip(starts, counts, strict=True)),
            queries=queries,
        )
        for layer in self.layers:
            layer.focus(window)

    def commit(self) -> None:
        """The pass has succeeded: what it wrote stays."""
        for layer in self.layers:
            layer.commit()

    def begin(self, slot: int) -> None:
        """A new sequence takes the slot."""
        for layer in self.layers:
            layer.begin(slot)

    def copy(self, source: int, target: int, tokens: int) -> None:
        for layer in self.layers:
            layer.copy(source, target, tokens)

    def swap(self, one: int, other: int, tokens: int) -> None:
        for layer in self.layers:
            layer.swap(one, other, tokens)

    def clear(self, slot: int) -> None:
        """After a failure: what is not a number must not outlive its sequence."""
        for layer in self.layers:
            layer.clear(slot)
