"""The slot cache: what a pass writes and reads, and what moving a sequence leaves alone."""

from __future__ import annotations

import pytest
import torch

from worker.engines.transformers.shape import AttentionShape, CacheShape, LinearShape
from worker.engines.transformers.slots import SlotCache

ATTENTION = AttentionShape(kv_heads=2, head_dim=4, dtype=torch.float32)
LINEAR = LinearShape(conv_channels=6, conv_width=4, heads=2, key_dim=3, value_dim=5, dtype=torch.float32)
SLOTS = 4
CAPACITY = 6


@pytest.fixture
def cache() -> SlotCache:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return SlotCache(CacheShape((ATTENTION, ATTENTION)), SLOTS, CAPACITY, torch.device("cpu"))


@pytest.fixture
def hybrid() -> SlotCache:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return SlotCache(CacheShape((LINEAR, ATTENTION)), SLOTS, CAPACITY, torch.device("cpu"))


def write(
    cache: SlotCache, slots: list[int], starts: list[int], counts: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """One pass with random states -> the states that were written and those that were read, for the keys."""
    cache.focus(slots, starts, counts)
    states = torch.randn(len(slots), ATTENTION.kv_heads, max(counts), ATTENTION.head_dim)
    read, _ = cache.update(states, -states, 1)
    return states, read


def advance(
    cache: SlotCache, slots: list[int], tokens: int, *, is_kept: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """One pass of a linear layer with random inputs -> the inputs, and those that its convolution saw."""
    cache.focus(slots, [0] * len(slots), [tokens] * len(slots))
    inputs = torch.randn(len(slots), LINEAR.conv_channels, tokens)
    seen = cache.update_conv_state(inputs, 0, conv_kernel_size=LINEAR.conv_width)
    state = cache.get_recurrent_state(0)
    assert state is not None
    cache.update_recurrent_state(state + 1, 0)
    if is_kept:
        cache.commit()
    return inputs, seen


def conv_state(cache: SlotCache, slot: int) -> torch.Tensor:
    cache.focus([slot], [0], [1])
    state: torch.Tensor | None = cache.get_conv_state(0)
    assert state is not None
    return state[0]


def recurrent_sum(cache: SlotCache, slot: int) -> float:
    cache.focus([slot], [0], [1])
    state = cache.get_recurrent_state(0)
    assert state is not None
    return float(state.sum())


#: What one pass adds up to in a slot.
ONE_PASS = float(LINEAR.heads * LINEAR.key_dim * LINEAR.value_dim)


def test_a_token_takes_keys_and_values_in_every_layer() -> None:
    assert CacheShape((ATTENTION, ATTENTION)).bytes_per_token == 2 * 2 * 2 * 4 * 4


def test_a_linear_layer_takes_the_same_whatever_the_context() -> None:
    shape = CacheShape((LINEAR, ATTENTION))
    assert shape.bytes_per_token == ATTENTION.bytes_per_token
    assert shape.bytes_per_slot == 4 * (6 * 4 + 2 * 3 * 5)


def test_a_pass_reads_what_it_and_the_passes_before_it_wrote(cache: SlotCache) -> None:
    first, _ = write(cache, [1, 2], [0, 0], [3, 3])
    second, read = write(cache, [1, 2], [3, 3], [1, 1])
    assert torch.equal(read, torch.cat([first, second], dim=2))
    assert torch.equal(cache.layers[1].values[1:3, :, :4], -read)
    assert not cache.layers[0].keys.any()


def test_neighbouring_rows_are_read_as_a_view_and_others_are_gathered(cache: SlotCache) -> None:
    _, neighbours = write(cache, [0, 1], [0, 0], [2, 2])
    assert neighbours.data_ptr() == cache.layers[1].keys.data_ptr()
    states, apart = write(cache, [3, 0], [0, 0], [2, 2])
    assert torch.equal(apart, states)


def test_rows_of_different_lengths_are_written_each_at_its_place(cache: SlotCache) -> None:
    states, read = write(cache, [0, 1], [2, 0], [1, 3])
    assert read.shape[2] == 3
    assert torch.equal(read[0, :, 2], states[0, :, -1])
    assert torch.equal(read[1], states[1])


def test_padding_is_written_to_the_scratch_position(cache: SlotCache) -> None:
    full, _ = write(cache, [0], [0], [CAPACITY])
    states, read = write(cache, [0, 1], [CAPACITY - 1, 0], [1, 4])
    assert read.shape[2] == CAPACITY
    assert torch.equal(read[0, :, : CAPACITY - 1], full[0, :, : CAPACITY - 1])
    assert torch.equal(read[0, :, CAPACITY - 1], states[0, :, -1])
    assert torch.equal(read[1, :, :4], states[1])
    assert not read[1, :, 4:].any()


def test_copying_and_swapping_carry_a_sequence_whole(cache: SlotCache) -> None:
    states, _ = write(cache, [0, 1, 2], [0, 0, 0], [3, 3, 3])
    cache.copy(2, 3, tokens=3)
    assert torch.equal(cache.layers[1].keys[3, :, :3], states[2])
    cache.swap(0, 1, tokens=3)
    assert torch.equal(cache.layers[1].keys[:2, :, :3], states[[1, 0]])
    assert torch.equal(cache.layers[1].values[:2, :, :3], -states[[1, 0]])


def test_a_cleared_slot_holds_nothing(cache: SlotCache) -> None:
    write(cache, [0, 1], [0, 0], [2, 2])
    cache.clear(0)
    assert not cache.layers[1].keys[0].any()
    assert cache.layers[1].keys[1].any()


def test_a_cache_without_a_window_says_so(cache: SlotCache) -> None:
    with pytest.raises(RuntimeError, match="window"):
        cache.get_seq_length()


def test_a_linear_layer_looks_back_on_the_inputs_of_the_passes_before(hybrid: SlotCache) -> None:
    first, seen = advance(hybrid, [1, 2], 5)
    assert torch.equal(seen[..., -5:], first)
    assert not seen[..., :-5].any()
    second, seen = advance(hybrid, [1, 2], 2)
    assert torch.equal(seen, torch.cat([first[..., -LINEAR.conv_width :], second], dim=-1))
    assert recurrent_sum(hybrid, 1) == recurrent_sum(hybrid, 2) == 2 * ONE_PASS
    assert recurrent_sum(hybrid, 0) == recurrent_sum(hybrid, 3) == 0.0


@pytest.mark.parametrize("slots", [[0, 1], [3, 0]])
def test_a_pass_that_is_not_committed_has_moved_no_state(hybrid: SlotCache, slots: list[int]) -> None:
    advance(hybrid, slots, 3)
    before = conv_state(hybrid, slots[0]).clone()
    advance(hybrid, slots, 3, is_kept=False)
    assert torch.equal(conv_state(hybrid, slots[0]), before)
    assert recurrent_sum(hybrid, slots[0]) == ONE_PASS


def test_a_slot_that_begins_anew_holds_no_state(hybrid: SlotCache) -> None:
    advance(hybrid, [0, 1], 3)
    hybrid.begin(0)
    assert not conv_state(hybrid, 0).any()
    assert recurrent_sum(hybrid, 0) == 0.0
    assert recurrent_sum(hybrid, 1) == ONE_PASS


def test_states_move_and_swap_with_their_sequence(hybrid: SlotCache) -> None:
    advance(hybrid, [0, 1], 3)
    advance(hybrid, [1], 3)
    hybrid.swap(0, 1, tokens=6)
    assert (recurrent_sum(hybrid, 0), recurrent_sum(hybrid, 1)) == (2 * ONE_PASS, ONE_PASS)
    hybrid.copy(0, 3, tokens=6)
    assert torch.equal(conv_state(hybrid, 0), conv_state(hybrid, 3))
    assert recurrent_sum(hybrid, 3) == 2 * ONE_PASS
