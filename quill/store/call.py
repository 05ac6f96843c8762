"""One call of one script, as data: nothing here talks to a server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Generic, TypeVar

from quill.broker import ticket_template
from quill.errors import QuillError
from quill.store.refusals import BY_REFUSAL

T = TypeVar("T")
Argument = str | bytes | int | float
#: What a script answers after its code: bytes, integers, None and lists of these.
Reply = Sequence[Any]

_LUA = resources.files("quill.store") / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script with the shared parts it names in its USES line put behind its first line."""
    shebang, body = (_LUA / f"{name}.lua").read_text().split("\n", 1)
    uses = next(line for line in body.splitlines() if line.startswith("-- USES"))
    parts = [(_LUA / f"_{part.strip()}.lua").read_text() for part in uses.removeprefix("-- USES").split(",")]
    ticket = f"local TICKET = [==[{ticket_template()}]==]"
    text = "\n".join([shebang, ticket, *parts, body])
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """``parse`` turns (code, the rest of the reply) into what the caller gets."""

    script: str
    arguments: tuple[Argument, ...]
    parse: Callable[[str, Reply], T]
    #: The error for a refusal that says more than its code; ``None`` where it does not.
    refusal: Callable[[str, Reply], QuillError | None] = lambda _, __: None

    def answer(self, reply: Reply) -> T:
        """Raises the error that stands for a refusal (see ``quill.store.refusals.BY_REFUSAL``)."""
        code, rest = reply[0].decode(), reply[1:]
        if code in BY_REFUSAL:
            raise self.refusal(code, rest) or BY_REFUSAL[code]()
        return self.parse(code, rest)
