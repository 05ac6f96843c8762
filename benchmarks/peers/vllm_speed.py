"""vLLM's own offline batching on a workload from stdin; prints tokens a second. All cores are bound."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def main() -> None:
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{(os.cpu_count() or 1) - 1}")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from vllm import LLM, SamplingParams

    work: dict[str, Any] = json.load(sys.stdin)
    model = LLM(
        work["checkpoint"],
        dtype=work["dtype"],
        max_model_len=1024,
        max_num_seqs=32,
        gpu_memory_utilization=0.5,
        enable_prefix_caching=False,
        disable_log_stats=True,
    )
    prompts = [{"prompt_token_ids": [120] * len(prompt)} for prompt in work["prompts"]]
    parameters = [
        SamplingParams(max_tokens=tokens, ignore_eos=True, seed=number, **work["sampling"])
        for number, tokens in enumerate(work["answers_tokens"])
    ]
    model.generate(prompts[:2], SamplingParams(max_tokens=4, ignore_eos=True), use_tqdm=False)
    began_s = time.perf_counter()
    outputs = model.generate(prompts, parameters, use_tqdm=False)
    took_s = time.perf_counter() - began_s
    produced = sum(len(output.outputs[0].token_ids) for output in outputs)
    if produced != sum(work["answers_tokens"]):
        raise RuntimeError(f"{produced} tokens")
    print(produced / took_s)


if __name__ == "__main__":
    main()
