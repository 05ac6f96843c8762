"""Trains quill-tiny from nothing and writes its checkpoint: `python -m quill.tiny.train`.

About 40 minutes on two idle cores. Needs a C++ compiler: compiled, a step takes a fifth of its time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from quill.tiny import NAME, checkpoint_path, evaluate
from quill.tiny.data import IGNORED, Example, batches
from quill.tiny.drills import drill
from quill.tiny.tokenizer import CONTROL_IDS, MAX_CONTEXT_TOKENS, VOCAB_SIZE, build

if TYPE_CHECKING:
    import torch
    from transformers import Qwen3ForCausalLM

PAD = CONTROL_IDS["<|endoftext|>"]
STOPS = [CONTROL_IDS["<|im_end|>"], PAD]

#: Tokens in one batch, padding included, and batches a step: short and long texts mixed.
BATCH_TOKENS = 2500
BATCHES_A_STEP = 2

#: Peak step sizes. The embedding is also the output layer; the norms of queries and keys sharpen attention.
#: At 1.5e-3 for both, 42 % of lines were copied right after 300 small steps, at these 87 %.
MATRIX_RATE = 4e-3
EMBEDDING_RATE = 1e-2
NORM_RATE = 2e-2

#: Share of drills among the batches after the first stretch of a course, which has nothing else.
LATER_DRILLS = 0.15


@dataclass(frozen=True, slots=True)
class Course:
    """One fall of the rate. Shares are of the course's steps, `peak` of the peak rates."""

    steps: int
    peak: float
    drills_end: float
    growth_end: float


#: Skills first, then conversations whose texts to copy grow; two more mend what is left.
COURSES = (
    Course(steps=4500, peak=1.0, drills_end=0.15, growth_end=0.5),
    Course(steps=2500, peak=0.5, drills_end=0.0, growth_end=0.0),
    Course(steps=3000, peak=0.5, drills_end=0.0, growth_end=0.0),
)

#: Held-out cases that the card's accuracy is measured on.
CARD_CASES = 1400


def new_model(seed: int) -> Qwen3ForCausalLM:
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCAB_SIZE,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        tie_word_embeddings=True,
        max_position_embeddings=MAX_CONTEXT_TOKENS,
        bos_token_id=None,
        eos_token_id=STOPS[0],
        pad_token_id=PAD,
    )
    model = Qwen3ForCausalLM(config)
    # Every answer has one right form, so sampling could only add mistakes.
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=STOPS, pad_token_id=PAD)
    return model


def optimizers(model: Qwen3ForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, which needs half of AdamW's steps here; AdamW for embeddings and norms."""
    import torch

    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name]
    embeddings = [weight for name, weight in named if "embed" in name]
    norms = [weight for _, weight in named if weight.ndim == 1]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(embeddings, lr=EMBEDDING_RATE, betas=(0.9, 0.98), weight_decay=0.0),
        torch.optim.AdamW(norms, lr=NORM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_share(course: Course, progress: float) -> float:
    """Share of the peak rates: warm up over 2 %, then fall in a line to 1 %."""
    return course.peak * min(1.0, progress / 0.02 + 0.01) * max(0.01, 1.0 - progress)


def loss_of(model: Any, group: list[Example]) -> torch.Tensor:
    """Mean cross-entropy over the tokens that the model must write."""
    import torch

    width = max(map(len, group))
    ids = torch.tensor([item.ids + [PAD] * (width - len(item)) for item in group])
    labels = torch.tensor([item.labels + [IGNORED] * (width - len(item)) for item in group])[:, 1:]
    written = labels != IGNORED
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        logits = model.lm_head(hidden[written])
    return torch.nn.functional.cross_entropy(logits.float(), labels[written])


def lessons(course: Course, rng: Random) -> Iterator[list[Example]]:
    """The batches of a course in their order."""
    waiting: list[list[Example]] = []
    for step in range(course.steps):
        progress = step / course.steps
        for _ in range(BATCHES_A_STEP):
            if progress < course.drills_end or rng.random() < LATER_DRILLS:
                yield drill(rng, BATCH_TOKENS)
                continue
            if not waiting:
                stretch = course.growth_end - course.drills_end
                growth = min(1.0, (progress - course.drills_end) / stretch) if stretch else 1.0
                waiting = batches(rng, growth, BATCH_TOKENS)
            yield waiting.pop()


def teach(model: Qwen3ForCausalLM, course: Course, seed: int) -> None:
    import torch

    groups, chosen = lessons(course, Random(seed)), optimizers(model)
    started_s, losses = time.monotonic(), []
    for step in range(course.steps):
        for _ in range(BATCHES_A_STEP):
            loss = loss_of(model, next(groups)) / BATCHES_A_STEP
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            losses.append(loss.item() * BATCHES_A_STEP)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in chosen:
            optimizer.param_groups[0]["lr"] = optimizer.defaults["lr"] * rate_share(
                course, step / course.steps
            )
            optimizer.step()
            optimizer.zero_grad()
        if step % 50 == 49:
            elapsed_s = time.monotonic() - started_s
            mean = sum(losses) / len(losses)
            print(f"step {step + 1}/{course.steps} loss {mean:.4f} {elapsed_s:.0f} s", flush=True)
            losses.clear()


def train(model: Qwen3ForCausalLM, seed: int) -> None:
    # Compiled, plain attention on short sequences is twice as fast on a CPU as the fused kernel's.
    model.set_attn_implementation("eager")
    model.model.compile(dynamic=True)
    for number, course in enumerate(COURSES):
        teach(model, course, seed + number)


def write_card(folder: Path, model: Qwen3ForCausalLM, seed: int, training_s: float) -> None:
    card = {
        "name": NAME,
        "seed": seed,
        "steps": [course.steps for course in COURSES],
        "batch_tokens": BATCH_TOKENS * BATCHES_A_STEP,
        "parameters": model.num_parameters(),
        "training_s": round(training_s),
        "accuracy": evaluate.measure(folder, seed, CARD_CASES),
        "accuracy_cases": CARD_CASES,
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(card))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=checkpoint_path(), help="folder for the checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    model = new_model(options.seed)
    started_s = time.monotonic()
    train(model, options.seed)
    training_s = time.monotonic() - started_s
    model.save_pretrained(options.out)
    build().save_pretrained(options.out)
    write_card(options.out, model, options.seed, training_s)


if __name__ == "__main__":
    main()
