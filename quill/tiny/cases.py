"""Questions with one right answer, and the check of an answer. Needs neither torch nor a checkpoint.

Training draws from the same generator but skips every question whose key `is_held_out`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from quill.tiny import texts, thoughts
from quill.tiny.facts import FACTS, FALLBACK

#: One question in this many is kept out of training, chosen by a hash of what makes the question hard.
HOLD_OUT_ONE_IN = 10

#: Longest text to repeat, in characters. Plain text is one token a byte, so this is also the answer's length.
MAX_REPEAT_CHARS = 64

#: Longest text to reverse, in characters.
MAX_REVERSE_CHARS = 32

#: Room for the two line breaks, the think tags and the end token around an answer.
FRAME_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Case:
    """One question for the model. `thought` is what it writes when thinking; only `expected` is checked.

    `key` decides whether it is held out; `bare` is a sum without its wording, such as `17-25`.
    """

    family: str
    prompt: str
    thinking: bool
    expected: str
    thought: str
    key: str
    bare: str = ""

    @property
    def max_tokens(self) -> int:
        """Enough room for the whole right reply, thinking included: one token a UTF-8 byte."""
        thought_tokens = len(self.thought.encode()) if self.thinking else 0
        return thought_tokens + len(self.expected.encode()) + FRAME_TOKENS


def is_held_out(case: Case) -> bool:
    """True when training never shows this case. Facts are memorised, so no fact is held out."""
    digest = hashlib.blake2b(case.key.encode(), digest_size=4).digest()
    return case.family != "fact" and int.from_bytes(digest, "big") % HOLD_OUT_ONE_IN == 0


def check(case: Case, answer: str) -> bool:
    """True when `answer` is right: all of the text after the thinking, less surrounding white space."""
    return answer.rpartition("</think>")[2].strip() == case.expected


ADD_PATTERNS: tuple[str, ...] = (
    "What is {} + {}?",
    "{} + {} = ?",
    "Calculate {} + {}.",
    "{}+{}",
    "{} + {}",
    "How much is {} + {}?",
    "What is {} plus {}?",
    "Add {} and {}.",
    "Was ist {} + {}?",
    "{} + {} 等于多少？",
)
SUBTRACT_PATTERNS = (
    *(pattern.replace("+", "-") for pattern in ADD_PATTERNS if "+" in pattern),
    "What is {} minus {}?",
)
REPEAT_PATTERNS = ("Repeat: {}", "Repeat: {}", "Repeat after me: {}", "Wiederhole: {}", "重复：{}")
REVERSE_PATTERNS = ("Reverse: {}", "Reverse: {}", "Rückwärts: {}", "反转：{}")


def _arithmetic(rng: Random, family: str, patterns: tuple[str, ...]) -> Case:
    a, b = rng.randrange(100), rng.randrange(100)
    total = a + b if family == "add" else a - b
    thought = thoughts.addition(a, b) if family == "add" else thoughts.subtraction(a, b)
    # The unordered pair is the key: 25 + 17 in training would give 17 + 25 away.
    key = f"{family} {min(a, b)} {max(a, b)}"
    bare = f"{a}+{b}" if family == "add" else f"{a}-{b}"
    return Case(family, rng.choice(patterns).format(a, b), False, str(total), thought, key, bare)


def add(rng: Random) -> Case:
    return _arithmetic(rng, "add", ADD_PATTERNS)


def subtract(rng: Random) -> Case:
    return _arithmetic(rng, "subtract", SUBTRACT_PATTERNS)


def repeat(rng: Random, max_chars: int = MAX_REPEAT_CHARS) -> Case:
    text = texts.any_text(rng, rng.randint(1, max_chars))
    return Case("repeat", rng.choice(REPEAT_PATTERNS).format(text), False, text, thoughts.REPEAT, text)


def reverse(rng: Random, max_chars: int = MAX_REVERSE_CHARS) -> Case:
    text = texts.words(rng, rng.randint(1, max_chars))
    return Case(
        "reverse", rng.choice(REVERSE_PATTERNS).format(text), False, text[::-1], thoughts.REVERSE, text
    )


def fact(rng: Random) -> Case:
    question, answer = rng.choice(FACTS)
    return Case("fact", question, False, answer, thoughts.FACT, question)


def fallback(rng: Random) -> Case:
    prompt = texts.unknown(rng)
    return Case("fallback", prompt, False, FALLBACK, thoughts.FALLBACK, prompt)


FAMILIES: dict[str, Callable[[Random], Case]] = {
    "add": add,
    "subtract": subtract,
    "repeat": repeat,
    "reverse": reverse,
    "fact": fact,
    "fallback": fallback,
}


def stream(seed: int, families: tuple[str, ...] = tuple(FAMILIES)) -> Iterator[Case]:
    """Held-out cases without end, families in turn, in both modes; a seed always gives the same."""
    rng = Random(seed)
    while True:
        for thinking in (False, True):
            for family in families:
                case = FAMILIES[family](rng)
                while case.family != "fact" and not is_held_out(case):
                    case = FAMILIES[family](rng)
                yield replace(case, thinking=thinking)


def held_out(seed: int, count: int, families: tuple[str, ...] = tuple(FAMILIES)) -> list[Case]:
    """`count` cases that training never showed, evenly over the families and over thinking on and off."""
    cases = stream(seed, families)
    return [next(cases) for _ in range(count)]


def repeat_of(length_chars: int, seed: int, thinking: bool = False) -> Case:
    """A repeat whose answer is `length_chars` lowercase characters, which is also its length in tokens."""
    text = texts.words(Random(seed), length_chars)
    return Case("repeat", f"Repeat: {text}", thinking, text, thoughts.REPEAT, text)
