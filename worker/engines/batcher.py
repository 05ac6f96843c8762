"""The slot batcher: sequences join and leave an unmodified model's batch between steps. One thread calls it.

Decoding rows are always the first slots, so that a step reads views; prompts are read behind them, in chunks.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import torch

from quill.errors import EngineError
from worker.engines.pace import Pace
from worker.engines.sampling import pick
from worker.engines.sequence import FinishReason, Sequence
from worker.engines.slots import SlotCache

log = logging.getLogger(__name__)

#: A sequence and the token that a pass produced for it.
Advance = tuple[Sequence, int]


class DeviceLost(Exception):
    """The device no longer computes at all."""


class Batcher:
    def __init__(self, model: Any, cache: SlotCache, chunk_tokens: int, stop_ids: frozenset[int]) -> None:
        self._body = model.base_model
        self._head = model.get_output_embeddings()
        self._cache = cache
        self._pace = Pace(chunk_tokens)
        self._stop_ids = stop_ids
        self._waiting: deque[Sequence] = deque()
        self._reading: list[Sequence] = []
        self._decoding: list[Sequence] = []
        self._reads_oldest = True
        self.steps = 0
        self.completed = 0
        self.produced_tokens = 0

    @property
    def running(self) -> int:
        return len(self._reading) + len(self._decoding)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting or self._reading or self._decoding)

    def device_bytes(self) -> int:
        device = self._cache.device
        return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0

    def add(self, sequence: Sequence) -> None:
        self._waiting.append(sequence)

    def step(self) -> None:
        """One chunk of prompts and one token for every decoding row. Raises ``DeviceLost``."""
        self._drop_aborted()
        self._admit()
        if self._reading:
            chunk_tokens = self._pace.chunk_tokens
            self._settle(self._advance(self._next_readers(chunk_tokens), chunk_tokens))
        if self._decoding:
            self._settle(self._advance(list(self._decoding), 1))

    def evict(self) -> list[Sequence]:
        """Gives up everything it holds; the caller ends the sequences."""
        held = [*self._decoding, *self._reading, *self._waiting]
        self._decoding, self._reading = [], []
        self._waiting.clear()
        return held

    def _drop_aborted(self) -> None:
        for sequence in [s for s in self._waiting if s.generation.aborted]:
            self._waiting.remove(sequence)
            self._end(sequence, "cancelled")
        for sequence in [s for s in (*self._reading, *self._decoding) if s.generation.aborted]:
            self._leave(sequence)
            self._end(sequence, "cancelled")

    def _admit(self) -> None:
        taken = {sequence.slot for sequence in self._reading}
        free = (slot for slot in range(len(self._decoding), self._cache.slots) if slot not in taken)
        for slot in free:
            if not self._waiting:
                break
            sequence = self._waiting.popleft()
            sequence.slot = slot
            self._reading.append(sequence)

    def _next_readers(self, chunk_tokens: int) -> list[Sequence]:
        """Prompts for one pass: the shortest rests, or in turn the oldest prompt, so that none starves.

        Prompts share a pass as long as all of it, padding included, stays within a chunk.
        """
        by_rest = sorted(self._reading, key=lambda sequence: sequence.unread_tokens)
        first = self._reading[0] if self._reads_oldest else by_rest[0]
        self._reads_oldest = not self._reads_oldest
        group, width = [first], min(first.unread_tokens, chunk_tokens)
        for sequence in by_rest:
            wider = max(width, sequence.unread_tokens)
            if sequence is first:
                continue
            if wider * (len(group) + 1) > chunk_tokens:
                break
            group.append(sequence)
            width = wider
        return sorted(group, key=lambda sequence: sequence.slot)

    def _advance(self, sequences: list[Sequence], width: int) -> list[Advance]:
        """If a pass raises, each sequence gets one of its own, and only the culprits fail."""
        try:
            return self._pass(sequences, width)
        except Exception:
            log.exception("A step failed.", extra={"action": "isolate_failure", "rows": len(sequences)})
        self._probe_device()
        if len(sequences) == 1:
            self._fail(sequences[0], "The model failed while it worked on this job.")
            return []
        return [advance for sequence in sequences for advance in self._advance([sequence], width)]

    def _pass(self, sequences: list[Sequence], width: int) -> list[Advance]:
        began_s, is_reading = time.monotonic(), sequences[0].unread_tokens > 0
        chunks = [sequence.next_ids(width) for sequence in sequences]
        hidden = self._forward(sequences, chunks)
        ends = [row for row, s in enumerate(sequences) if s.unread_tokens <= len(chunks[row])]
        tokens, usable = self._pick(sequences, hidden, chunks, ends)
        self.steps += 1
        for sequence, chunk in zip(sequences, chunks, strict=True):
            sequence.filled_tokens += len(chunk)
        if is_reading:
            self._pace.note(hidden.shape[0] * hidden.shape[1], time.monotonic() - began_s)
        advances = [(sequences[row], token) for row, token in zip(ends, tokens, strict=True)]
        for (sequence, _), is_usable in zip(advances, usable, strict=True):
            if not is_usable:
                self._fail(sequence, "The model's output for this job was not a number.")
        return [advance for advance, is_usable in zip(advances, usable, strict=True) if is_usable]

    def _forward(self, sequences: list[Sequence], chunks: list[list[int]]) -> torch.Tensor:
        """Reads a chunk a row -> hidden states [rows, queries, hidden]; rows are padded at their right."""
        starts, counts = [s.filled_tokens for s in sequences], [len(chunk) for chunk in chunks]
        queries, width = max(counts), max(start + n for start, n in zip(starts, counts, strict=True))
        self._cache.focus([s.slot for s in sequences], starts, counts)
        device = self._cache.device
        ids = torch.tensor([chunk + [0] * (queries - len(chunk)) for chunk in chunks], device=device)
        positions = torch.tensor(starts, device=device)[:, None] + torch.arange(queries, device=device)
        positions = positions.clamp(max=width - 1)
        is_plain = len(set(starts)) == 1 and (queries == 1 or (starts[0] == 0 and min(counts) == queries))
        mask = None if is_plain else (torch.arange(width, device=device) <= positions[:, :, None])[:, None]
        output = self._body(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
        )
        return output.last_hidden_state  # type: ignore[no-any-return]

    def _pick(
        self, sequences: list[Sequence], hidden: torch.Tensor, chunks: list[list[int]], ends: list[int]
    ) -> tuple[list[int], list[bool]]:
        if not ends:
            self._wait_for_device()
            return [], []
        last = [len(chunks[row]) - 1 for row in ends]
        return pick(self._head(hidden[ends, last]), [sequences[row].picker for row in ends])

    def _settle(self, advances: Iterable[Advance]) -> None:
        for sequence, token_id in advances:
            self.produced_tokens += 1
            reason = sequence.accept(token_id, self._stop_ids)
            if reason is not None:
                self._leave(sequence)
                self._end(sequence, reason)
            elif sequence in self._reading:
                self._promote(sequence)

    def _promote(self, sequence: Sequence) -> None:
        """Its prompt is read: it becomes the last decoding row."""
        self._reading.remove(sequence)
        target = len(self._decoding)
        neighbour = next((s for s in self._reading if s.slot == target), None)
        if neighbour is not None:
            self._cache.swap(sequence.slot, target, max(sequence.filled_tokens, neighbour.filled_tokens))
            neighbour.slot = sequence.slot
        elif sequence.slot != target:
            self._cache.move(sequence.slot, target, sequence.filled_tokens)
        sequence.slot = target
        self._decoding.append(sequence)

    def _leave(self, sequence: Sequence) -> None:
        """Frees the slot; the last decoding row moves into the hole."""
        if sequence in self._reading:
            self._reading.remove(sequence)
            return
        last = self._decoding.pop()
        if last is not sequence:
            self._cache.move(last.slot, sequence.slot, last.filled_tokens)
            last.slot = sequence.slot
            self._decoding[last.slot] = last

    def _end(self, sequence: Sequence, reason: FinishReason) -> None:
        self.completed += 1
        sequence.finish(reason)

    def _fail(self, sequence: Sequence, message: str) -> None:
        self._cache.clear(sequence.slot)
        self._leave(sequence)
        self.completed += 1
        sequence.fail(EngineError(message))

    def _wait_for_device(self) -> None:
        """A pass that nothing is read from has only been ordered by now: its time would say nothing."""
        if self._cache.device.type == "cuda":
            torch.cuda.synchronize(self._cache.device)

    def _probe_device(self) -> None:
        try:
            torch.ones(1, device=self._cache.device).add_(1).item()
        except torch.OutOfMemoryError:
            pass  # it is full, and computes
        except Exception as error:
            raise DeviceLost from error
