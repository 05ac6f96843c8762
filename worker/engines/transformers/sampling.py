"""Picks the next token of every row at once, each by its own policy. Nothing here sorts the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from worker.engines.transformers.picker import Picker
from worker.engines.transformers.picks import Pick
from worker.engines.transformers.reweighing import reweigh

#: Candidates looked at before the exact fallback. To sort 151,936 logits takes 171 ms for 32 rows on
#: two cores, `topk(256)` takes 6 ms.
CANDIDATES = 256


def pick(logits: torch.Tensor, pickers: Sequence[Picker]) -> list[Pick]:
    """Logits [rows, vocabulary] -> a token a row."""
    peaks, tokens = logits.max(dim=-1)
    usable = torch.isfinite(peaks)
    considered = [row for row, p in enumerate(pickers) if p.reweighs or not p.policy.is_greedy]
    if considered:
        rows = torch.tensor(considered, device=logits.device)
        numbers = logits[rows].float()
        if not usable.all():
            numbers = torch.where(usable[rows, None], numbers, 0.0)
        tokens[rows] = _consider(numbers, [pickers[row] for row in considered])
    picks = [Pick(token, number) for token, number in zip(tokens.tolist(), usable.tolist(), strict=True)]
    told = [row for row, p in enumerate(pickers) if p.top_logprobs is not None and picks[row].is_number]
    if told:
        _tell(picks, logits, told, max(pickers[row].top_logprobs or 0 for row in told))
    return picks


def _tell(picks: list[Pick], logits: torch.Tensor, rows: list[int], count: int) -> None:
    """Adds to the picks of these rows how probable they and others were; as many for each as for any."""
    logprobs = logits[rows].float().log_softmax(dim=-1)
    tokens = torch.tensor([picks[row].token_id for row in rows], device=logits.device)
    chosen = logprobs.gather(1, tokens[:, None])[:, 0].tolist()
    values, ids = logprobs.topk(min(count, logprobs.shape[-1]), dim=-1)
    for row, own, top_ids, top_values in zip(rows, chosen, ids.tolist(), values.tolist(), strict=True):
        picks[row] = Pick(picks[row].token_id, True, own, tuple(zip(top_ids, top_values, strict=True)))


def _consider(logits: torch.Tensor, pickers: Sequence[Picker]) -> torch.Tensor:
    """Rows whose best token is not simply taken."""
    reweigh(logits, pickers)
    sampled = [row for row, picker in enumerate(pickers) if not picker.policy.is_greedy]
    if len(sampled) == len(pickers):
        return _sample(logits, pickers)
    tokens = logits.argmax(dim=-1)
    if sampled:
        tokens[sampled] = _sample(logits[sampled], [pickers[row] for row in sampled])
    return tokens


def _sample(logits: torch.Tensor, pickers: Sequence[Picker]) -> torch.Tensor:
    """Only rows whose policy may reach beyond the candidates pay for a look at the whole vocabulary."""
    table = _table(pickers).to(logits.device)
    temperatures = table[:, :1].float()
    width = min(CANDIDATES, logits.shape[-1])
    top, tokens = logits.topk(width, dim=-1)
    top = top / temperatures
    picks = tokens.gather(1, _choose(top.softmax(dim=-1), table))[:, 0]
    for row, picker in enumerate(pickers):
        if width < logits.shape[-1] and not 1 <= picker.policy.top_k <= width:
            one = slice(row, row + 1)
            picks[row] = _sample_open_row(logits[one] / temperatures[one], top[one], tokens[row], table[one])
    return picks


def _sample_open_row(
    logits: torch.Tensor, top: torch.Tensor, tokens: torch.Tensor, table: torch.Tensor
) -> torch.Tensor:
    """A row without a small top-k: the candidates if they hold all that it keeps, else every token."""
    _, top_k, top_p, min_p, _ = table[0].tolist()
    probabilities = (top - logits.logsumexp(dim=-1, keepdim=True)).exp()
    reaches_top_p = top_k == 0 and top_p < 1.0 and float(probabilities.sum()) >= top_p
    reaches_min_p = top_k == 0 and top_p == 1.0 and float(probabilities[0, -1] / probabilities[0, 0]) < min_p
    if reaches_top_p or reaches_min_p:
        return tokens[_choose(probabilities, table)[0, 0]]
    if top_k == 0 and top_p == 1.0:
        return _choose(logits.softmax(dim=-1), table)[0, 0]
    ordered, tokens = logits[0].sort(descending=True)
    if top_k:
        ordered = ordered[: int(top_k)]
    return tokens[_choose(ordered.softmax(dim=-1)[None], table)[0, 0]]


def _table(pickers: Sequence[Picker]) -> torch.Tensor:
    """[rows, 5]: temperature, top_k, top_p, min_p and this step's uniform number."""
    rows = [(picker.policy, picker.uniform) for picker in pickers]
    values = [[p.temperature, p.top_k, p.top_p, p.min_p, noise] for p, noise in rows]
    # Double: a noise that rounds up to 1.0 would choose a token beyond what is kept.
    return torch.tensor(values, dtype=torch.float64)


def _choose(probabilities: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Inverse transform over what the policy keeps -> [rows, 1] column numbers.

    Columns must be in falling order wherever a row has a top-k or a top-p below 1.
    """
    _, top_k, top_p, min_p, uniform = table.unsqueeze(-1).unbind(1)
    rank = torch.arange(probabilities.shape[-1], device=probabilities.device)
    within_k = (rank < top_k) | (top_k == 0)
    kept = torch.where(within_k, probabilities, 0.0)
    kept = kept / torch.where(top_k > 0, kept.sum(dim=-1, keepdim=True), 1.0)
    before = kept.cumsum(dim=-1, dtype=torch.float64) - kept
    kept = torch.where((before < top_p) | (top_p == 1.0), kept, 0.0)
    kept = torch.where(kept >= min_p * kept.amax(dim=-1, keepdim=True), kept, 0.0)
    reached = kept.cumsum(dim=-1, dtype=torch.float64)
    return torch.searchsorted(reached, uniform * reached[:, -1:], right=True).clamp(max=kept.shape[-1] - 1)
