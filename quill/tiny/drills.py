"""Exercises without a conversation around them: the skill itself, with a loss on nearly every second token.

A sum costs 9 tokens here and 45 in a conversation, and a text to copy has no frame, so skills are learnt here
in a quarter of the time and conversations only teach when to use them.
"""

from __future__ import annotations

from random import Random

from quill.tiny.data import IGNORED, Example, draw

#: Sums in one exercise.
SUMS = 8

#: How long copied and reversed texts get here, as `growth`: up to about 50 and 25 characters.
COPY_GROWTH, REVERSE_GROWTH = 0.1, 0.3

#: Share of each drill: sums and copies start slowly, reversals follow from copies.
SHARES = {"sums": 4, "copies": 4, "reversals": 2}


def _exercise(pairs: list[tuple[str, str]]) -> Example:
    ids: list[int] = []
    labels: list[int] = []
    for question, answer in pairs:
        asked, written = question.encode(), f"{answer}\n".encode()
        ids += [*asked, *written]
        labels += [IGNORED] * len(asked) + [*written]
    return Example(ids, labels)


def sums(rng: Random) -> Example:
    """Lines such as `17+25=42`."""
    cases = [draw(rng, rng.choice(("add", "subtract")), growth=1.0) for _ in range(SUMS)]
    return _exercise([(f"{case.bare}=", case.expected) for case in cases])


def copies(rng: Random) -> Example:
    """A line, twice."""
    text = draw(rng, "repeat", COPY_GROWTH).expected
    return _exercise([(f"{text}\n", text)])


def reversals(rng: Random) -> Example:
    """A line and, after a tab, the same from its end."""
    case = draw(rng, "reverse", REVERSE_GROWTH)
    return _exercise([(f"{case.key}\t", case.expected)])


def drill(rng: Random, batch_tokens: int) -> list[Example]:
    """One batch of one kind of exercise."""
    make = {"sums": sums, "copies": copies, "reversals": reversals}
    exercise = make[rng.choices(list(SHARES), weights=list(SHARES.values()))[0]]
    group = [exercise(rng)]
    width = len(group[0])
    while (len(group) + 1) * width <= batch_tokens:
        group.append(exercise(rng))
        width = max(width, len(group[-1]))
    return group
