"""A brief in vLLM's words. Ends, stop strings and the budget of reasoning are ours: vLLM gives token ids."""

from __future__ import annotations

from typing import Any

from worker.engines.base import Sampling
from worker.engines.language import Brief


def sampling_of(brief: Brief, asked: Sampling, max_tokens: int) -> Any:
    """vLLM's ``SamplingParams``; a greedy row has a temperature of 0 there too."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    policy = brief.policy
    return SamplingParams(
        max_tokens=max_tokens,
        temperature=0.0 if policy.is_greedy else policy.temperature,
        top_k=policy.top_k,
        top_p=policy.top_p,
        min_p=policy.min_p,
        repetition_penalty=policy.repetition_penalty,
        presence_penalty=policy.presence_penalty,
        frequency_penalty=policy.frequency_penalty,
        seed=asked.seed,
        stop_token_ids=sorted(brief.stop_ids),
        ignore_eos=True,
        logit_bias=dict(asked.logit_bias) or None,
        logprobs=asked.top_logprobs if asked.logprobs else None,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
    )
