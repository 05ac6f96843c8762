"""How many prompt tokens a pass reads."""

from __future__ import annotations

import pytest

from worker.engines.pace import LEAST_TOKENS, TARGET_S, Pace


def test_without_any_measure_a_pass_reads_the_most() -> None:
    assert Pace(256).chunk_tokens == 256


@pytest.mark.parametrize(
    ("tokens_per_s", "chunk"), [(10_000, 256), (1000, 128), (300, 64), (100, 16), (5, 16)]
)
def test_a_pass_takes_its_target_at_most(tokens_per_s: int, chunk: int) -> None:
    pace = Pace(256)
    pace.note(256, 256 / tokens_per_s)
    assert pace.chunk_tokens == chunk
    assert chunk == LEAST_TOKENS or chunk / tokens_per_s <= TARGET_S


def test_a_slow_pass_counts_at_once_and_quick_ones_bit_by_bit() -> None:
    pace = Pace(256)
    pace.note(256, 0.1)
    pace.note(256, 2.56)
    assert pace.chunk_tokens == 16
    chunks = []
    for _ in range(20):
        pace.note(pace.chunk_tokens, pace.chunk_tokens * 0.0004)
        chunks.append(pace.chunk_tokens)
    assert chunks == sorted(chunks)
    assert chunks[0] < chunks[-1] == 256


def test_a_small_bound_is_kept() -> None:
    pace = Pace(4)
    pace.note(4, 10.0)
    assert pace.chunk_tokens == 4
