"""A bounded memory: what was learnt first is forgotten first."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def remember(memory: dict[K, V], key: K, value: V, *, at_most: int) -> None:
    while len(memory) >= at_most:
        del memory[next(iter(memory))]
    memory[key] = value
