"""The slot cache: what a pass writes and reads, and what moving a sequence leaves alone."""

from __future__ import annotations

import pytest
import torch

from worker.engines.slots import CacheShape, SlotCache

SHAPE = CacheShape(layers=2, kv_heads=2, head_dim=4, dtype=torch.float32)
SLOTS = 4
CAPACITY = 6


@pytest.fixture
def cache() -> SlotCache:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return SlotCache(SHAPE, SLOTS, CAPACITY, torch.device("cpu"))


def write(
    cache: SlotCache, slots: list[int], starts: list[int], counts: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """One pass with random states -> the states that were written and those that were read, for the keys."""
    cache.focus(slots, starts, counts)
    states = torch.randn(len(slots), SHAPE.kv_heads, max(counts), SHAPE.head_dim)
    read, _ = cache.update(states, -states, 1)
    return states, read


def test_a_token_takes_keys_and_values_in_every_layer() -> None:
    assert SHAPE.bytes_per_token == 2 * 2 * 2 * 4 * 4


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
    assert torch.equal(read[0, :, 2], states[0, :, 0])
    assert torch.equal(read[1], states[1])


def test_padding_past_a_slots_end_is_written_to_the_scratch_position(cache: SlotCache) -> None:
    full, _ = write(cache, [0], [0], [CAPACITY])
    states, read = write(cache, [0, 1], [CAPACITY - 1, 0], [1, 4])
    assert read.shape[2] == CAPACITY
    assert torch.equal(read[0, :, : CAPACITY - 1], full[0, :, : CAPACITY - 1])
    assert torch.equal(read[0, :, CAPACITY - 1], states[0, :, 0])
    assert torch.equal(read[1, :, :4], states[1])


def test_moving_and_swapping_carry_a_sequence_whole(cache: SlotCache) -> None:
    states, _ = write(cache, [0, 1, 2], [0, 0, 0], [3, 3, 3])
    cache.move(2, 3, tokens=3)
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
