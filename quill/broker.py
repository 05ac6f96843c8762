"""How Celery sees Quill: the tasks' names and the ticket, byte for byte what Celery's own producer writes."""

from __future__ import annotations

import base64
import json
import warnings
from typing import Any

from quill.address import SentinelAddress, kombu_url, parse_address

#: The worker's task. A ticket carries nothing but its id, `<job id>:<seq>`.
RUN_TASK = "quill.run"
#: The intake's task, which any Celery program may send.
GENERATE_TASK = "quill.generate"

#: A pickle runs code when it is read; nothing of ours ever reads one.
ACCEPTED_CONTENT = ("json",)

_ARGUMENTS: list[object] = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
_BODY = base64.b64encode(json.dumps(_ARGUMENTS).encode()).decode()

#: A sentinel that does not answer within this is passed over for the next.
_SENTINEL_TIMEOUT_S = 1.0


def sentinel_options(address: SentinelAddress) -> dict[str, Any]:
    """How a client of ours speaks to the sentinels themselves."""
    return {
        "socket_timeout": _SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": _SENTINEL_TIMEOUT_S,
        "username": address.sentinel_username,
        "password": address.sentinel_password,
        # The library would ask a dead one three times more, with pauses of seconds, before the next.
        "retry": None,
    }


def broker_place(redis_url: str) -> tuple[str, dict[str, Any]]:
    """The store as Celery spells it: a URL, and the transport options that belong to it."""
    address = parse_address(redis_url)
    if address is None:
        return redis_url, {}
    return kombu_url(address), {
        "master_name": address.service,
        "sentinel_kwargs": sentinel_options(address),
    }


def ticket(task_id: str, queue: str) -> dict[str, Any]:
    """A ticket, whose ``task_id`` is all that is its own.

    Message protocol 2 (docs.celeryq.dev, "Message Protocol") in kombu's virtual-transport envelope. A
    contract test compares every field with what the pinned Celery sends.
    """
    headers: dict[str, object] = {
        "lang": "py",
        "task": RUN_TASK,
        "id": task_id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "parent_id": None,
        "argsrepr": "()",
        "kwargsrepr": "{}",
        "origin": "quill",
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    properties = {
        "correlation_id": task_id,
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": task_id,
    }
    return {
        "body": _BODY,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }


def ticket_template() -> str:
    """A ticket as JSON with two blanks, which the store fills in when it pushes one."""
    return json.dumps(ticket("%ID%", "%QUEUE%"), separators=(",", ":"))


def parse_ticket(task_id: str) -> tuple[str, int]:
    """(job id, seq) of a ticket's task id. Raises ``ValueError`` if it is none."""
    job_id, _, seq = task_id.rpartition(":")
    if not job_id or not seq.isdecimal():
        raise ValueError("not a ticket")
    return job_id, int(seq)


def hush_root_warning() -> None:
    """Keeps Celery's superuser warning from every start in a container, where root is the usual user.

    It is about root reading pickles, and nothing but ``ACCEPTED_CONTENT`` is read here. C_FORCE_ROOT does not
    help: it lets a worker that accepts pickles start as root, and the warning comes all the same.
    """
    from celery.exceptions import SecurityWarning  # here, so that the store can do without Celery

    warnings.filterwarnings("ignore", category=SecurityWarning)
