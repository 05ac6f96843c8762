"""The calls for what is set up rather than queued: tenants, API keys. Each is one JSON document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from quill.errors import DocumentChanged
from quill.store.call import Call, Reply

Document = TypeVar("Document", bound=BaseModel)
#: ``None`` where it shall be removed.
After = TypeVar("After", bound=BaseModel | None)

#: So often a change is tried anew that others overtook.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Stored(Generic[Document]):
    document: Document
    #: As it stands in the store; what a change of it is held against.
    text: bytes


def get(kind: str, ids: Sequence[str], model: type[Document]) -> Call[list[Stored[Document] | None]]:
    """Gives an entry an id, ``None`` where there is no such document."""

    def parse(_: str, reply: Reply) -> list[Stored[Document] | None]:
        return [None if text is None else Stored(model.model_validate_json(text), text) for text in reply]

    return Call("list", (kind, "", *ids), parse)


def every(kind: str, owner: str, model: type[Document]) -> Call[list[Document]]:
    def parse(_: str, reply: Reply) -> list[Document]:
        return [model.model_validate_json(text) for text in reply if text is not None]

    return Call("list", (kind, owner), parse)


def texts(before: Stored[Document] | None, after: BaseModel | None) -> tuple[bytes, str]:
    """What a change is held against, and what it writes; empty for no document."""
    old = b"" if before is None else before.text
    return old, "" if after is None else after.model_dump_json(exclude_defaults=True)


def put(
    kind: str, owner: str, document_id: str, before: Stored[Document] | None, after: BaseModel | None
) -> Call[None]:
    """Raises ``DocumentChanged`` if it is not what was read."""
    return Call("put", (kind, owner, document_id, *texts(before, after)), lambda _, __: None)


async def rewrite(
    read: Callable[[], Awaitable[Stored[Document]]],
    change: Callable[[Document], After],
    write: Callable[[Stored[Document], After], Awaitable[None]],
) -> After:
    """Reads, changes, writes; anew if others were faster. Raises ``DocumentChanged`` if they always are."""
    for _ in range(_TRIES):
        before = await read()
        after = change(before.document)
        with suppress(DocumentChanged):
            await write(before, after)
            return after
    raise DocumentChanged
