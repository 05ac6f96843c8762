"""What the core asks of a driver and what it is told: plain data, no I/O.

A flow is a generator that yields steps. A driver does each step and sends its answer back in.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

#: How long the gateway may think about an ordinary request.
ANSWER_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request, ready to be sent any number of times."""

    method: str
    #: Below the gateway's address; starts with a slash.
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: The longest silence while its answer is awaited or read.
    read_timeout_s: float = ANSWER_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Send:
    """Pause, then send ``call``. The answer is a ``Reply`` or ``Lost``."""

    call: Call
    pause_s: float = 0.0
    #: Leave the body of a success unread; ``Read`` asks for it piece by piece.
    is_stream: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """Read on in the open stream. The answer is a ``Piece``, or ``Lost`` at its end or when it breaks."""


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """Hand this to the caller. Nothing is sent back in."""

    value: T


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Piece:
    data: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """There is no answer, and the gateway may or may not have acted on the request."""

    #: A sentence for people that names the gateway's address.
    reason: str


Answer: TypeAlias = Reply | Piece | Lost
#: Ends with one value.
Flow: TypeAlias = Generator[Send, Answer, T]
#: Hands over any number of values.
Feed: TypeAlias = Generator[Send | Read | Item[T], Answer, None]
