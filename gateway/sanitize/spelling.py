"""The ways to spell a URL's scheme in HTML: either case, entities, tabs and line ends anywhere."""

from __future__ import annotations

import re

_NAMED = {":": "colon", "/": "sol"}

#: What a URL is read without.
IGNORED = b"\t\n\r"
_NAMES = ("&Tab;", "&NewLine;", *(f"&{name};" for name in _NAMED.values()))
#: What a spelling begins with that is not plain.
ENTITIES = ("&#", *_NAMES)
#: Of a letter of ASCII, a slash, a colon or what is ignored: ranges, where `_numbers` would try each of them.
_NUMBER = re.compile(
    r"&#(?:0*+(?:9|1[03]|47|58|6[5-9]|[789]\d|1[01]\d|12[0-2])(?!\d)"
    r"|[xX]0*+(?:[9aAdD]|2[fF]|3[aA]|[4-7][\da-fA-F])(?![\da-fA-F]))"
)


def spelled_out(text: str, at_most: int) -> int:
    """How often an entity is there for what may be of a scheme, which in most texts is never."""
    if "&" not in text:
        return 0
    named = sum(map(text.count, _NAMES))
    return min(at_most, named + len(_NUMBER.split(text, at_most)) - 1)


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
    goes_on = rf"(?=[\t\n\r]*+[{next_both}&])"
    return rf"[{both}&](?=[{next_both}#&\t\n\r])(?:(?<!&){begins}|(?<=&){_numbers(both)}){goes_on}"
