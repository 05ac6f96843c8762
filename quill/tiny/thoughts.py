"""What quill-tiny writes between its think tags: school working for sums, one sentence for the rest."""

from __future__ import annotations

REPEAT = "The user wants the same text."
REVERSE = "I write the letters from last to first."
FACT = "I know this."
FALLBACK = "I do not know this."


def addition(a: int, b: int) -> str:
    """17 + 25 -> `17 + 25: 7 + 5 = 12, 1 + 2 + 1 = 4, so 42.`"""
    units = a % 10 + b % 10
    carry = units // 10
    tens = a // 10 + b // 10 + carry
    return f"{a} + {b}: {a % 10} + {b % 10} = {units}, {a // 10} + {b // 10} + {carry} = {tens}, so {a + b}."


def subtraction(a: int, b: int) -> str:
    """17 - 25 -> `17 - 25: 17 < 25, 15 - 7 = 8, 2 - 1 - 1 = 0, so -8.`"""
    big, small = max(a, b), min(a, b)
    borrow = int(big % 10 < small % 10)
    units = big % 10 + 10 * borrow
    tens = big // 10 - small // 10 - borrow
    sign = "<" if a < b else ">" if a > b else "="
    return (
        f"{a} - {b}: {a} {sign} {b}, {units} - {small % 10} = {units - small % 10}, "
        f"{big // 10} - {small // 10} - {borrow} = {tens}, so {a - b}."
    )
