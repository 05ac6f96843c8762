"""Measures a checkpoint on held-out cases: `python -m quill.tiny.evaluate` prints one JSON line."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quill.tiny import checkpoint_path
from quill.tiny.cases import Case, check, held_out

#: Cases that are generated together. Cases of like length go together, so that no row waits long for another.
BATCH_ROWS = 50


def load(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model, through the same calls as any model from a hub."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()


def _generate(tokenizer: Any, model: Any, cases: Sequence[Case]) -> list[str]:
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": case.prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=case.thinking,
        )
        for case in cases
    ]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    output = model.generate(**inputs, do_sample=False, max_new_tokens=max(case.max_tokens for case in cases))
    texts: list[str] = tokenizer.batch_decode(
        output[:, inputs.input_ids.shape[1] :], skip_special_tokens=True
    )
    return texts


def replies(tokenizer: Any, model: Any, cases: Sequence[Case]) -> list[str]:
    """The model's greedy replies, in the order of `cases`."""
    order = sorted(range(len(cases)), key=lambda index: cases[index].max_tokens)
    found: dict[int, str] = {}
    for start in range(0, len(order), BATCH_ROWS):
        rows = order[start : start + BATCH_ROWS]
        found.update(zip(rows, _generate(tokenizer, model, [cases[row] for row in rows]), strict=True))
    return [found[index] for index in range(len(cases))]


def accuracy(cases: Sequence[Case], answers: Sequence[str]) -> dict[str, float]:
    """Share of right answers by family, 0 to 1."""
    marks: defaultdict[str, list[bool]] = defaultdict(list)
    for case, answer in zip(cases, answers, strict=True):
        marks[case.family].append(check(case, answer))
    return {family: round(sum(right) / len(right), 4) for family, right in marks.items()}


def measure(folder: Path, seed: int, count: int, show_wrong: bool = False) -> dict[str, float]:
    """Accuracy by family of the checkpoint in `folder` over `count` held-out cases, both modes alike."""
    cases = held_out(seed, count)
    answers = replies(*load(folder), cases)
    for case, answer in zip(cases, answers, strict=True):
        if show_wrong and not check(case, answer):
            print(f"{case.prompt!r}\n  expected {case.expected!r}\n  answered {answer!r}")
    return accuracy(cases, answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=checkpoint_path())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=700)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--show-wrong", action="store_true", help="print each wrong answer first")
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    shares = measure(options.checkpoint, options.seed, options.count, options.show_wrong)
    print(json.dumps({"seed": options.seed, "cases": options.count, "accuracy": shares}))


if __name__ == "__main__":
    main()
