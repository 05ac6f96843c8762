"""Divides a memory budget into slots and capacity. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from quill.errors import EngineError

#: Without a wish, a slot is not made smaller than this to make room for more of them: most chats fit.
COMFORTABLE_CONTEXT_TOKENS = 4096

#: A slot smaller than this serves nobody.
LEAST_CONTEXT_TOKENS = 64

#: Positions a slot keeps beside its context: one, where padding is written.
SCRATCH_TOKENS = 1


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    slots: int
    context_tokens: int
    #: For a human: how it came out.
    line: str


def plan_memory(
    *,
    budget_bytes: int,
    bytes_per_token: int,
    slot_bytes: int = 0,
    model_context_tokens: int,
    context_tokens: int | None,
    max_slots: int,
) -> MemoryPlan:
    """A wished context is honoured with as many slots as fit; without one, slots come first, down to a
    comfortable context.

    `slot_bytes` is what a slot costs whatever its context. Raises ``EngineError`` if not even one fits.
    """

    def fitting_tokens(slots: int) -> int:
        return (budget_bytes // slots - slot_bytes) // bytes_per_token - SCRATCH_TOKENS

    wished_tokens = min(context_tokens or model_context_tokens, model_context_tokens)
    least_tokens = wished_tokens if context_tokens else min(wished_tokens, COMFORTABLE_CONTEXT_TOKENS)
    slots = max(
        1, min(max_slots, budget_bytes // (slot_bytes + (least_tokens + SCRATCH_TOKENS) * bytes_per_token))
    )
    capacity_tokens = min(wished_tokens, fitting_tokens(slots))
    if capacity_tokens < min(LEAST_CONTEXT_TOKENS, wished_tokens):
        raise EngineError(
            f"The memory budget of {_gib(budget_bytes)} does not hold one slot "
            f"at {bytes_per_token:,} bytes a token."
        )
    taken_bytes = slots * (slot_bytes + (capacity_tokens + SCRATCH_TOKENS) * bytes_per_token)
    line = (
        f"{bytes_per_token:,} bytes a token; {slots} slots x {capacity_tokens:,} tokens = "
        f"{_gib(taken_bytes)} of {_gib(budget_bytes)}"
    )
    return MemoryPlan(slots, capacity_tokens, line)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.2f} GiB"
