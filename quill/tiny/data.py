"""Training conversations as token ids, and how they are gathered into batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from quill.tiny import texts
from quill.tiny.cases import FAMILIES, Case, is_held_out, repeat, reverse
from quill.tiny.tokenizer import CONTROL_IDS

START, END = CONTROL_IDS["<|im_start|>"], CONTROL_IDS["<|im_end|>"]
THINK, END_THINK = CONTROL_IDS["<think>"], CONTROL_IDS["</think>"]

#: The label that the loss skips: everything that the model reads but does not write.
IGNORED = -100

#: Weight of each family among the conversations. Direct sums give two or three learnt tokens each, so they
#: come most often; a copied text gives two hundred.
MIX = {"add": 12, "subtract": 16, "repeat": 3, "reverse": 3, "fact": 1, "fallback": 2}

#: Families short enough to stand as earlier turns of a conversation.
EARLIER_FAMILIES = ("add", "subtract", "fact", "fallback")

#: Share of conversations in which the model thinks first.
THINKING_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids, and for each the label: itself where the model must write it, else `IGNORED`."""

    ids: list[int]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.ids)


def _turn(role: str, text: str) -> list[int]:
    """The template's rendering of one finished turn."""
    return [START, *f"{role}\n{text}".encode(), END, *b"\n"]


def encode(case: Case, earlier: list[Case], system: str | None) -> Example:
    """The same ids that the chat template gives for this conversation; a test holds them together."""
    prompt = _turn("system", system) if system is not None else []
    for past in earlier:
        prompt += _turn("user", past.prompt) + _turn("assistant", past.expected)
    prompt += [*_turn("user", case.prompt), START, *b"assistant\n"]
    reply = [*case.expected.encode(), END]
    if case.thinking:
        reply = [THINK, *f"\n{case.thought}\n".encode(), END_THINK, *b"\n\n", *reply]
    else:
        prompt += [THINK, *b"\n\n", END_THINK, *b"\n\n"]
    return Example(prompt + reply, [IGNORED] * len(prompt) + reply)


def draw(rng: Random, family: str, growth: float) -> Case:
    """A case of the family that is not held out; `growth` from 0 to 1 lengthens the texts to copy."""
    while True:
        if family == "repeat":
            case = repeat(rng, max_chars=24 + int(growth * 112))
        elif family == "reverse":
            case = reverse(rng, max_chars=12 + int(growth * 44))
        else:
            case = FAMILIES[family](rng)
        if not is_held_out(case):
            return case


def _system(rng: Random) -> str | None:
    share = rng.random()
    if share < 0.7:
        return None
    return "You are a helpful assistant." if share < 0.85 else texts.words(rng, rng.randint(1, 60))


def conversation(rng: Random, growth: float) -> Example:
    """Usually a single question, sometimes after a system prompt or earlier turns."""
    family = rng.choices(list(MIX), weights=list(MIX.values()))[0]
    case = replace(draw(rng, family, growth), thinking=rng.random() < THINKING_SHARE)
    turns = rng.choice((1, 1, 2)) if rng.random() < 0.15 else 0
    earlier = [draw(rng, rng.choice(EARLIER_FAMILIES), growth) for _ in range(turns)]
    return encode(case, earlier, _system(rng))


def batches(rng: Random, growth: float, batch_tokens: int) -> list[list[Example]]:
    """A shuffled round of batches, each of like lengths and at most `batch_tokens` with its padding."""
    examples = sorted((conversation(rng, growth) for _ in range(1024)), key=len)
    groups: list[list[Example]] = [[]]
    for item in examples:
        if groups[-1] and (len(groups[-1]) + 1) * len(item) > batch_tokens:
            groups.append([])
        groups[-1].append(item)
    rng.shuffle(groups)
    return groups
