"""The ways to spell a URL's scheme in HTML: either case, entities, tabs and line ends anywhere."""

from __future__ import annotations

_NAMED = {":": "colon", "/": "sol"}


def _numbers(codes: str) -> str:
    decimal = "|".join(str(ord(char)) for char in codes)
    hexadecimal = "|".join(f"{ord(char):x}" for char in codes)
    return rf"#(?:0*+(?:{decimal})(?!\d)|[xX]0*+(?i:{hexadecimal})(?![\da-fA-F]));?+"


#: A URL is read without these.
_GAP = rf"(?:[\t\n\r]|&(?:Tab;|NewLine;|{_numbers(chr(9) + chr(10) + chr(13))}))*+"


def _letter(char: str) -> str:
    """It may come after a gap. Most often it is itself, which is looked at first and then for good."""
    both = "".join(sorted({char.lower(), char.upper()}))
    named = f"{_NAMED[char]};|" if char in _NAMED else ""
    return rf"(?>[{both}]|(?=[&\t\n\r]){_GAP}(?:[{both}]|&(?:{named}{_numbers(both)})))"


def spelled(word: str) -> str:
    return "".join(map(_letter, word))


def beginning(firsts: str, seconds: str) -> str:
    """One of the first letters, where a word may begin and go on. `re` is quick to search for a class."""
    both, next_both = firsts + firsts.upper(), seconds + seconds.upper()
    # A digit before may end an entity without its semicolon, and so may a letter that is one in hexadecimal.
    begins = r"(?:(?<![A-Za-z_.+-].)|(?<=[xX01][A-Fa-f].))"
    return rf"[{both}&](?:(?<=&){_numbers(both)}|(?<!&){begins})(?=[{next_both}&\t\n\r])"
