"""Who has which slot. Decoding rows are always the first slots, so that a step reads views; prompts are read
behind them.
"""

from __future__ import annotations

from collections import deque

from worker.engines.transformers.prefixes import LEAST_TOKENS as LEAST_SHARED_TOKENS
from worker.engines.transformers.prefixes import Prefix, Remains, common_tokens
from worker.engines.transformers.sequence import Sequence
from worker.engines.transformers.slots import SlotCache

#: A prompt that has so much in common with one that is being read waits for it instead of reading along.
WORTH_WAITING_TOKENS = 256


class Seats:
    def __init__(self, cache: SlotCache) -> None:
        self._cache = cache
        self._remains = Remains(cache.slots)
        self.waiting: deque[Sequence] = deque()
        self.reading: list[Sequence] = []
        self.decoding: list[Sequence] = []
        #: Prompt tokens that were copied instead of read.
        self.reused_tokens = 0

    @property
    def running(self) -> int:
        return len(self.reading) + len(self.decoding)

    @property
    def is_busy(self) -> bool:
        return bool(self.waiting or self.reading or self.decoding)

    def everyone(self) -> list[Sequence]:
        return [*self.decoding, *self.reading, *self.waiting]

    def vacate(self) -> list[Sequence]:
        """Gives up all; the caller ends the sequences."""
        held = self.everyone()
        for holder in (self.decoding, self.reading, self.waiting):
            holder.clear()
        self._remains = Remains(self._cache.slots)
        return held

    def admit(self) -> None:
        """Waiting sequences take free slots, in their order."""
        free = self._free()
        for sequence in list(self.waiting):
            if not free:
                return
            if self._should_wait(sequence):
                continue
            self.waiting.remove(sequence)
            sequence.slot = self._take(sequence, free)
            free.remove(sequence.slot)
            self.reading.append(sequence)

    def promote(self, sequence: Sequence) -> None:
        """Its prompt is read: it becomes the last decoding row."""
        self.reading.remove(sequence)
        target = len(self.decoding)
        neighbour = next((s for s in self.reading if s.slot == target), None)
        if neighbour is not None:
            self._cache.swap(sequence.slot, target, max(sequence.filled_tokens, neighbour.filled_tokens))
            neighbour.slot = sequence.slot
        elif sequence.slot != target:
            self._remains.forget(target)
            self._cache.copy(sequence.slot, target, sequence.filled_tokens)
            self._leave_remains(sequence.slot, sequence)
        sequence.slot = target
        self.decoding.append(sequence)

    def leave(self, sequence: Sequence) -> None:
        """Frees its slot; the last decoding row moves into the hole."""
        if sequence in self.waiting:
            self.waiting.remove(sequence)
            return
        if sequence in self.reading:
            self.reading.remove(sequence)
            self._leave_remains(sequence.slot, sequence)
            return
        last = self.decoding.pop()
        if last is sequence:
            self._leave_remains(sequence.slot, sequence)
            return
        hole = sequence.slot
        self._cache.copy(last.slot, hole, last.filled_tokens)
        self._leave_remains(last.slot, last)
        last.slot = hole
        self.decoding[hole] = last

    def fail(self, sequence: Sequence) -> None:
        """As `leave`, and nothing of it remains."""
        slot = sequence.slot
        self._cache.clear(slot)
        sequence.filled_tokens = 0
        self.leave(sequence)

    def _free(self) -> list[int]:
        taken = {sequence.slot for sequence in self.reading}
        return [slot for slot in range(len(self.decoding), self._cache.slots) if slot not in taken]

    def _should_wait(self, sequence: Sequence) -> bool:
        """Whether most of its prompt is just being read for another."""
        if self._cache.is_hybrid:
            return False
        return any(
            common_tokens(other.prompt_ids, sequence.prompt_ids) - other.filled_tokens >= WORTH_WAITING_TOKENS
            for other in self.reading
            if other.salt == sequence.salt
        )

    def _take(self, sequence: Sequence, free: list[int]) -> int:
        """Gives a slot that holds the longest beginning of the prompt that is to be had."""
        if self._cache.is_hybrid:
            self._cache.begin(free[0])
            return free[0]
        left = self._remains.longest(free, sequence.salt, sequence.prompt_ids)
        live = self._longest_live(sequence)
        slot = left.slot if left is not None else free[0]
        if live is not None and (left is None or live.tokens > left.tokens):
            slot = free[0]
            self._cache.copy(live.slot, slot, live.tokens)
        sequence.filled_tokens = max((prefix.tokens for prefix in (left, live) if prefix), default=0)
        self.reused_tokens += sequence.filled_tokens
        self._remains.forget(slot)
        return slot

    def _longest_live(self, sequence: Sequence) -> Prefix | None:
        found = [
            Prefix(other.slot, min(common_tokens(other.ids, sequence.prompt_ids), other.filled_tokens))
            for other in (*self.decoding, *self.reading)
            if other.salt == sequence.salt
        ]
        best = max(found, key=lambda prefix: prefix.tokens, default=None)
        return best if best is not None and best.tokens >= LEAST_SHARED_TOKENS else None

    def _leave_remains(self, slot: int, sequence: Sequence) -> None:
        if not self._cache.is_hybrid:
            self._remains.leave(slot, sequence.salt, sequence.ids[: sequence.filled_tokens])
