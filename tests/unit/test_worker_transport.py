"""What a worker makes of the entries on its list, whoever wrote them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quill.broker import RUN_TASK, ticket
from worker.transport import decoded_ticket

QUEUE = "quill.run.m"
TASK_ID = "job_1:1"
OURS = ticket(TASK_ID, QUEUE)

#: Where -> what: each of these ended a worker that believed it.
ODD_FIELDS: list[tuple[tuple[str, ...], Any]] = [
    (("body",), "!!!"),
    (("body",), "bnVsbA=="),
    (("body",), 7),
    (("content-type",), "application/x-python-serialize"),
    (("content-encoding",), 7),
    (("headers", "eta"), []),
    (("headers", "expires"), {}),
    (("headers", "timelimit"), 7),
    (("headers", "retries"), "many"),
    (("headers", "stamped_headers"), 7),
    (("headers", "lang"), None),
    (("properties",), None),
    (("properties", "body_encoding"), "garbage"),
    (("properties", "delivery_tag"), []),
    (("properties", "delivery_info"), {}),
    (("properties", "reply_to"), {"a": 1}),
]


def with_field(place: tuple[str, ...], value: Any) -> bytes:
    message = json.loads(json.dumps(OURS))
    *way, name = place
    part = message
    for step in way:
        part = part[step]
    part[name] = value
    return json.dumps(message).encode()


def test_a_ticket_of_ours_is_what_it_was() -> None:
    assert decoded_ticket(json.dumps(OURS), QUEUE) == OURS


@pytest.mark.parametrize(("place", "value"), ODD_FIELDS)
def test_an_odd_field_changes_nothing(place: tuple[str, ...], value: Any) -> None:
    assert decoded_ticket(with_field(place, value), QUEUE) == OURS


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"[" * 50_000,
        b'{"headers": null}',
        b'{"headers": []}',
        with_field(("headers", "task"), "os.system"),
        with_field(("headers", "task"), None),
        with_field(("headers", "id"), "job_1"),
        with_field(("headers", "id"), ":1"),
        with_field(("headers", "id"), "job_1:-1"),
        with_field(("headers", "id"), "job_1:one"),
        with_field(("headers", "id"), 7),
        with_field(("headers", "id"), None),
    ],
)
def test_an_entry_that_names_no_job_of_ours_is_none(entry: bytes) -> None:
    assert decoded_ticket(entry, QUEUE) is None


def test_each_ticket_is_a_message_of_its_own() -> None:
    """Celery writes into what it is given."""
    entry = json.dumps(OURS)
    first = decoded_ticket(entry, QUEUE)
    assert first is not None
    first["headers"]["task"] = first["properties"]["delivery_info"]["routing_key"] = "spoilt"
    assert decoded_ticket(entry, QUEUE) == OURS
    assert OURS["headers"]["task"] == RUN_TASK
