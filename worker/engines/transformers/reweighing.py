"""Bias and penalties: what a request, or what was already said, adds to and takes from the model's logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from worker.engines.transformers.picker import Picker
from worker.engines.transformers.seen import SeenTokens


def reweigh(logits: torch.Tensor, pickers: Sequence[Picker]) -> None:
    """Logits [rows, vocabulary], in place: first the bias, then the penalties, as vLLM orders them."""
    for row, picker in enumerate(pickers):
        if picker.bias_ids:
            ids = torch.tensor(picker.bias_ids, device=logits.device)
            logits[row, ids] += torch.tensor(picker.biases, device=logits.device)
    minding = [(row, picker, picker.seen) for row, picker in enumerate(pickers) if picker.seen is not None]
    if minding:
        _penalise(logits, minding)


def _penalise(logits: torch.Tensor, minding: list[tuple[int, Picker, SeenTokens]]) -> None:
    """The repetition penalty is CTRL's (arXiv:1909.05858) over prompt and answer; presence and frequency are
    OpenAI's, over the answer.
    """
    size = (len(minding), max(len(seen) for _, _, seen in minding))
    ids, counts = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.float32)
    for place, (_, _, seen) in enumerate(minding):
        seen.write(ids[place], counts[place])
    device = logits.device
    rows = torch.tensor([row for row, _, _ in minding], device=device)
    at = (rows[:, None], torch.from_numpy(ids).to(device))
    count = torch.from_numpy(counts).to(device)
    policies = [picker.policy for _, picker, _ in minding]
    terms = [[p.repetition_penalty, p.presence_penalty, p.frequency_penalty] for p in policies]
    repetition, presence, frequency = torch.tensor(terms, device=device).unsqueeze(-1).unbind(1)
    said = logits[at]
    said = torch.where(said > 0, said / repetition, said * repetition)
    # Where a token stands twice in a row of the table, the same number is written twice.
    logits[at] = said - presence * (count > 0) - frequency * count
