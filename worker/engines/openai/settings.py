"""What an operator can say about the server that does the work."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServerSettings:
    #: Up to and with `/v1`.
    url: str
    #: As the server calls it; ``None`` takes the only one that it serves.
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    #: Requests that it gets at once.
    slots: int = 32
    #: ``None`` asks the server, which may not tell.
    context_tokens: int | None = None
    #: A checkpoint on the hub or in a folder: its tokenizer and template count prompts before the server sees
    #: them. ``None`` leaves that to the server.
    tokenizer: str | None = None
    #: Between two pieces of an answer.
    silence_s: float = 120.0
    #: Tries of one request while the server has not begun to answer.
    tries: int = 4
