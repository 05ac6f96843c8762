from __future__ import annotations

import pytest

from gateway.events import entries_of

ONE, TWO = (b"1-0", {b"job": b"a"}), (b"2-0", {b"job": b"b"})


@pytest.mark.parametrize(
    ("reply", "entries"),
    [
        ([], []),
        ({}, []),
        ([[b"quill:events", [ONE, TWO]]], [ONE, TWO]),
        ({b"quill:events": [[ONE, TWO]]}, [ONE, TWO]),
        ({b"quill:events": [ONE, TWO]}, [ONE, TWO]),
    ],
    ids=["none", "none, RESP3", "RESP2", "RESP3", "unified"],
)
def test_events_are_read_in_every_shape_that_redis_py_gives_them(
    reply: object, entries: list[tuple[bytes, dict[bytes, bytes]]]
) -> None:
    assert list(entries_of(reply)) == entries
