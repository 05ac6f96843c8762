"""Trains quill-tiny from nothing and writes its checkpoint: `python -m quill.tiny.train`."""

from __future__ import annotations

import argparse
import json
import math
import time
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

#: Peak step sizes. The embedding is also the output layer: moved as fast as the matrices it never settles.
MATRIX_RATE = 4e-3
EMBEDDING_RATE = 1.5e-3

#: Up to here, as a share of all steps, there are only drills; after it they keep this share of the batches.
DRILLS_END = 0.28
LATER_DRILLS = 0.15

#: From here on the texts to copy have their full length.
GROWTH_END = 0.6

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
    others = [weight for name, weight in named if weight.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=EMBEDDING_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_share(progress: float) -> float:
    """Share of the peak rate: warm up over 3 %, hold to 50 %, then fall along a half cosine to 1 %."""
    fall = max(0.0, (progress - 0.5) / 0.5)
    return min(1.0, progress / 0.03 + 0.01) * (0.505 + 0.495 * math.cos(math.pi * fall))


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


class Course:
    """What is taught when: drills first, then conversations whose texts to copy grow."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self._waiting: list[list[Example]] = []

    def next_group(self, progress: float) -> list[Example]:
        """The next batch, at `progress` from 0 to 1 through the course."""
        if progress < DRILLS_END or self._rng.random() < LATER_DRILLS:
            return drill(self._rng, BATCH_TOKENS)
        if not self._waiting:
            growth = min(1.0, (progress - DRILLS_END) / (GROWTH_END - DRILLS_END))
            self._waiting = batches(self._rng, growth, BATCH_TOKENS)
        return self._waiting.pop()


def train(model: Qwen3ForCausalLM, seed: int, steps: int) -> None:
    import torch

    # On short sequences plain attention is twice as fast on a CPU as the fused kernel's backward pass.
    model.set_attn_implementation("eager")
    course, started_s, losses = Course(seed), time.monotonic(), []
    chosen = optimizers(model)
    for step in range(steps):
        progress = step / steps
        for _ in range(BATCHES_A_STEP):
            loss = loss_of(model, course.next_group(progress)) / BATCHES_A_STEP
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            losses.append(loss.item() * BATCHES_A_STEP)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in chosen:
            optimizer.param_groups[0]["lr"] = optimizer.defaults["lr"] * rate_share(progress)
            optimizer.step()
            optimizer.zero_grad()
        if step % 50 == 49:
            elapsed_s = time.monotonic() - started_s
            mean = sum(losses) / len(losses)
            print(f"step {step + 1}/{steps} loss {mean:.4f} {elapsed_s:.0f} s", flush=True)
            losses.clear()


def write_card(folder: Path, model: Qwen3ForCausalLM, seed: int, steps: int, training_s: float) -> None:
    card = {
        "name": NAME,
        "seed": seed,
        "steps": steps,
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
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1, help="more help only on a machine with idle cores")
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    model = new_model(options.seed)
    started_s = time.monotonic()
    train(model, options.seed, options.steps)
    training_s = time.monotonic() - started_s
    model.save_pretrained(options.out)
    build().save_pretrained(options.out)
    write_card(options.out, model, options.seed, options.steps, training_s)


if __name__ == "__main__":
    main()
