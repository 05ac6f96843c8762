"""The slot batcher: sequences join and leave an unmodified model's batch between steps.

One thread calls it.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import torch

from quill.errors import EngineError
from quill.result import FinishReason
from worker.engines.transformers.attention import Attention
from worker.engines.transformers.pace import Pace
from worker.engines.transformers.picks import Pick
from worker.engines.transformers.sampling import pick
from worker.engines.transformers.seats import Seats
from worker.engines.transformers.sequence import Sequence
from worker.engines.transformers.slots import SlotCache

log = logging.getLogger(__name__)

#: A sequence and what a pass picked for it.
Advance = tuple[Sequence, Pick]


class DeviceLost(Exception):
    """The device no longer computes at all."""


class Batcher:
    def __init__(self, model: Any, cache: SlotCache, chunk_tokens: int) -> None:
        self._body = model.base_model
        self._head = model.get_output_embeddings()
        self._attention = Attention.of(model.config.get_text_config(), cache.is_hybrid)
        self._cache = cache
        self._pace = Pace(chunk_tokens)
        self._seats = Seats(cache)
        self._reads_oldest = True
        self.steps = 0
        self.completed = 0
        self.produced_tokens = 0

    @property
    def running(self) -> int:
        return self._seats.running

    @property
    def waiting(self) -> int:
        return len(self._seats.waiting)

    @property
    def is_busy(self) -> bool:
        return self._seats.is_busy

    @property
    def reused_tokens(self) -> int:
        return self._seats.reused_tokens

    def device_bytes(self) -> int:
        device = self._cache.device
        return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0

    def add(self, sequence: Sequence) -> None:
        self._seats.waiting.append(sequence)

    def step(self) -> None:
        """One chunk of prompts and one token for every decoding row. Raises ``DeviceLost``."""
        self._drop_aborted()
        self._seats.admit()
        if self._seats.reading:
            chunk_tokens = self._pace.chunk_tokens
            self._settle(self._advance(self._next_readers(chunk_tokens), chunk_tokens))
        if self._seats.decoding:
            self._settle(self._advance(list(self._seats.decoding), 1))

    def forget(self) -> None:
        """What was done was the warm-up; how long its passes took still tells how large they may be."""
        self.steps = self.completed = self.produced_tokens = 0

    def evict(self) -> list[Sequence]:
        """Gives up everything it holds; the caller ends the sequences."""
        return self._seats.vacate()

    def _drop_aborted(self) -> None:
        for sequence in self._seats.everyone():
            if sequence.generation.aborted:
                self._end(sequence, "cancelled")

    def _next_readers(self, chunk_tokens: int) -> list[Sequence]:
        """Prompts for one pass: the shortest rests, or in turn the oldest prompt, so that none starves.

        Prompts share a pass as long as all of it, padding included, stays within a chunk.
        """
        by_rest = sorted(self._seats.reading, key=lambda sequence: sequence.unread_tokens)
        first = self._seats.reading[0] if self._reads_oldest else by_rest[0]
        self._reads_oldest = not self._reads_oldest
        group, width = [first], min(first.unread_tokens, chunk_tokens)
        for sequence in by_rest:
            wider = max(width, sequence.unread_tokens)
            if sequence is first or not self._can_be_padded_together(sequence, group):
                continue
            if wider * (len(group) + 1) > chunk_tokens:
                break
            group.append(sequence)
            width = wider
        return sorted(group, key=lambda sequence: sequence.slot)

    def _can_be_padded_together(self, sequence: Sequence, group: list[Sequence]) -> bool:
        """A linear layer's state passes over padding unharmed only while it is still empty."""
        return not self._cache.is_hybrid or not any(s.filled_tokens for s in (sequence, *group))

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
        picks = self._picks(sequences, hidden, ends)
        self._cache.commit()
        self.steps += 1
        for sequence, chunk in zip(sequences, chunks, strict=True):
            sequence.filled_tokens += len(chunk)
        if is_reading:
            self._pace.note(hidden.shape[0] * hidden.shape[1], time.monotonic() - began_s)
        return [(sequences[row], picked) for row, picked in picks.items()]

    def _forward(self, sequences: list[Sequence], chunks: list[list[int]]) -> torch.Tensor:
        """Reads a chunk a row -> hidden states [rows, queries, hidden]; rows are padded at their left."""
        starts, counts = [s.filled_tokens for s in sequences], [len(chunk) for chunk in chunks]
        queries = max(counts)
        self._cache.focus([s.slot for s in sequences], starts, counts)
        device = self._cache.device
        ids = torch.tensor([[0] * (queries - len(chunk)) + chunk for chunk in chunks], device=device)
        ends = torch.tensor([start + n for start, n in zip(starts, counts, strict=True)], device=device)
        positions = ends[:, None] + torch.arange(-queries, 0, device=device)
        output = self._body(
            input_ids=ids,
            position_ids=positions.clamp(min=0),
            past_key_values=self._cache,
            use_cache=True,
            **self._attention.reach(starts, counts, positions),
        )
        return output.last_hidden_state  # type: ignore[no-any-return]

    def _picks(self, sequences: list[Sequence], hidden: torch.Tensor, ends: list[int]) -> dict[int, Pick]:
        """A token for every row whose prompt is read, from its last hidden state; and for a row whose states
        are no numbers, wherever it stands: they are in the slot, and would be for whoever comes next.
        """
        sound = torch.isfinite(hidden[:, -1]).all(dim=-1).tolist()
        found = {row: Pick(0, is_number=False) for row, is_sound in enumerate(sound) if not is_sound}
        if ends:
            picks = pick(self._head(hidden[ends, -1]), [sequences[row].picker for row in ends])
            found |= {row: picked for row, picked in zip(ends, picks, strict=True) if sound[row]}
        return found

    def _settle(self, advances: list[Advance]) -> None:
        for sequence, picked in advances:
            if not picked.is_number:
                self._fail(sequence, "The model's output for this job was not a number.")
                continue
            self.produced_tokens += 1
            reason = sequence.take(picked)
            if reason is not None:
                self._end(sequence, reason)
            elif sequence in self._seats.reading:
                self._seats.promote(sequence)

    def _end(self, sequence: Sequence, reason: FinishReason) -> None:
        self._seats.leave(sequence)
        self.completed += 1
        sequence.finish(reason)

    def _fail(self, sequence: Sequence, message: str) -> None:
        self._seats.fail(sequence)
        self.completed += 1
        sequence.fail(EngineError(message))

    def _probe_device(self) -> None:
        try:
            torch.ones(1, device=self._cache.device).add_(1).item()
        except torch.OutOfMemoryError:
            pass  # it is full, and computes
        except Exception as error:
            raise DeviceLost from error
