"""Slots and capacity out of a budget, and the limits that follow."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given

from quill.errors import ContextLengthExceeded, EngineError
from worker.engines.limits import answer_limit_tokens
from worker.engines.transformers import host_memory
from worker.engines.transformers.plan import COMFORTABLE_CONTEXT_TOKENS, MemoryPlan, plan_memory

KIB = 1024

#: Qwen3-0.6B in bfloat16: 2 x 28 layers x 8 heads x 128 x 2 bytes.
BYTES_PER_TOKEN = 112 * KIB


def plan(budget_gib: float, context_tokens: int | None = None, max_slots: int = 32) -> MemoryPlan:
    return plan_memory(
        budget_bytes=int(budget_gib * KIB**3),
        bytes_per_token=BYTES_PER_TOKEN,
        model_context_tokens=40_960,
        context_tokens=context_tokens,
        max_slots=max_slots,
    )


def test_a_wished_context_is_honoured_with_as_many_slots_as_fit() -> None:
    assert (plan(10, context_tokens=8192).slots, plan(10, context_tokens=8192).context_tokens) == (11, 8192)
    assert plan(1000, context_tokens=8192).slots == 32


def test_unasked_slots_come_first_down_to_a_comfortable_context() -> None:
    assert plan(20).slots == 32
    assert COMFORTABLE_CONTEXT_TOKENS <= plan(20).context_tokens < 6000
    assert plan(3).slots == 6
    assert plan(1000).context_tokens == 40_960


def test_a_small_budget_still_gives_one_slot_with_what_there_is() -> None:
    assert plan(0.25) == MemoryPlan(1, 2339, plan(0.25).line)


def test_a_budget_for_nothing_is_refused() -> None:
    with pytest.raises(EngineError, match="does not hold one slot"):
        plan(0.001)


def test_a_wish_beyond_the_model_is_cut_to_it() -> None:
    assert plan(100, context_tokens=1_000_000, max_slots=2).context_tokens == 40_960


@given(
    budget_bytes=st.integers(1, 2**36),
    bytes_per_token=st.integers(1, 2**20),
    slot_bytes=st.integers(0, 2**24),
    model_context_tokens=st.integers(2, 2**18),
    context_tokens=st.none() | st.integers(1, 2**18),
    max_slots=st.integers(1, 256),
)
def test_no_plan_takes_more_than_its_budget(
    budget_bytes: int,
    bytes_per_token: int,
    slot_bytes: int,
    model_context_tokens: int,
    context_tokens: int | None,
    max_slots: int,
) -> None:
    try:
        found = plan_memory(
            budget_bytes=budget_bytes,
            bytes_per_token=bytes_per_token,
            slot_bytes=slot_bytes,
            model_context_tokens=model_context_tokens,
            context_tokens=context_tokens,
            max_slots=max_slots,
        )
    except EngineError:
        assume(False)
    assert 1 <= found.slots <= max_slots
    assert 1 <= found.context_tokens <= min(context_tokens or model_context_tokens, model_context_tokens)
    assert found.slots * (slot_bytes + (found.context_tokens + 1) * bytes_per_token) <= budget_bytes


def test_an_answer_gets_what_it_asked_for_or_what_is_left_up_to_the_default() -> None:
    assert answer_limit_tokens(10, 30, 40) == 30
    assert answer_limit_tokens(10, None, 40) == 30
    assert answer_limit_tokens(10, None, 4000) == 512


@pytest.mark.parametrize(("prompt_tokens", "max_tokens"), [(10, 31), (40, None), (100, 1)])
def test_what_can_never_fit_is_refused(prompt_tokens: int, max_tokens: int | None) -> None:
    with pytest.raises(ContextLengthExceeded, match=f"has {prompt_tokens} tokens.*holds 40"):
        answer_limit_tokens(prompt_tokens, max_tokens, 40)


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    unlimited_bytes = host_memory.free_bytes(tmp_path)
    (tmp_path / "memory.max").write_text("5000000\n", encoding="ascii")
    (tmp_path / "memory.current").write_text("1000000\n", encoding="ascii")
    assert host_memory.free_bytes(tmp_path) == 4_000_000 < unlimited_bytes
    (tmp_path / "memory.max").write_text("max\n", encoding="ascii")
    assert host_memory.free_bytes(tmp_path) > 4_000_000
