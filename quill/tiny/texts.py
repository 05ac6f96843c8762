"""Random texts for the cases: words to repeat or reverse, mixed writing, and requests nobody can answer."""

from __future__ import annotations

import string
from random import Random

from quill.tiny.facts import UNKNOWN_PATTERNS

#: Real words beside random letters, so that copying cannot rely on rare letter pairs.
COMMON_WORDS = (
    "the a of to and in is it you that he was for on are with as his they be at one have this from or "
    "had by hot but some what there we can out other were all your when up use word how said an each "
    "she which do their time if will way about many then them would write like so these her long make "
    "thing see him two has look more day could go come did my sound no most number who over know "
    "water than call first people may down side been now find any new work part take get place made "
    "live where after back little only round man year came show every good me give our under name "
    "very through just form much great think say help low line before turn cause same mean differ "
    "move right boy old too does tell queue worker job model token batch hello world quick brown fox"
).split()

#: Letters outside ASCII, two to four bytes each.
FOREIGN = "äöüßéèñçåøžłабвгдежзий中文字模型队列工作你好世界日本語テスト한국어🙂🚀✓€–“”"

#: Longest text of any characters: with up to four bytes each it is as long as the longest of words.
MAX_MIXED_CHARS = 40

MIXED = string.ascii_letters + string.digits + string.punctuation + " " * 12


def random_word(rng: Random) -> str:
    if rng.random() < 0.4:
        return rng.choice(COMMON_WORDS)
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(1, 10)))


def words(rng: Random, length_chars: int) -> str:
    """Lowercase words and single spaces, exactly `length_chars` long, with no space at either end."""
    text = random_word(rng)
    while len(text) < length_chars:
        text += " " + random_word(rng)
    text = text[:length_chars]
    return text[:-1] + rng.choice(string.ascii_lowercase) if text.endswith(" ") else text


def letters(rng: Random, length_chars: int) -> str:
    return "".join(rng.choices(string.ascii_lowercase, k=length_chars))


def mixed(rng: Random, length_chars: int) -> str:
    """Any characters: cased letters, digits, punctuation and other scripts, at most `MAX_MIXED_CHARS`."""
    length_chars = min(length_chars, MAX_MIXED_CHARS)
    alphabet = MIXED + FOREIGN if rng.random() < 0.5 else MIXED
    text = " ".join("".join(rng.choices(alphabet, k=length_chars)).split())
    return text or "x"


def any_text(rng: Random, length_chars: int) -> str:
    """Mostly lowercase words; sometimes letters without spaces, sometimes any characters."""
    draw = rng.random()
    if draw < 0.65:
        return words(rng, length_chars)
    if draw < 0.8:
        return letters(rng, length_chars)
    return mixed(rng, length_chars)


def _hard_sum(rng: Random) -> str:
    """A sum outside what is taught: three digits or more, or another operation."""
    if rng.random() < 0.5:
        a, b = rng.randrange(100, 10_000), rng.randrange(1000)
        a, b = (a, b) if rng.random() < 0.5 else (b, a)
        return f"What is {a} {rng.choice('+-')} {b}?"
    return f"What is {rng.randrange(100)} {rng.choice('*/x%^')} {rng.randrange(100)}?"


def unknown(rng: Random) -> str:
    """A prompt that only the fallback answers: gibberish, a hard sum, or a question about a random word."""
    draw = rng.random()
    if draw < 0.3:
        return any_text(rng, rng.randint(1, 80))
    if draw < 0.45:
        return _hard_sum(rng)
    pattern = rng.choice(UNKNOWN_PATTERNS)
    picked = [random_word(rng) for _ in range(pattern.count("{}"))]
    return pattern.format(*(w.capitalize() if rng.random() < 0.5 else w for w in picked))
