"""The ticket is, field by field, what Celery's own producer writes."""

from __future__ import annotations

import json
from typing import Any

from celery import Celery

from quill.broker import RUN_TASK
from quill.store.run import Store
from tests.integration.jobs import admit, join


def sent_by_celery(store: Store, url: str, task_id: str) -> dict[str, Any]:
    app = Celery(broker=url, set_as_current=False)
    app.conf.task_ignore_result = True
    app.conf.broker_connection_retry_on_startup = True
    app.send_task(RUN_TASK, task_id=task_id, queue="stock", ignore_result=True)
    entry = store.client.rpop("stock")
    app.close()
    assert isinstance(entry, bytes)
    message: dict[str, Any] = json.loads(entry)
    return message


def test_every_field_of_a_ticket_equals_celerys(store: Store) -> None:
    job_id = admit(store)
    join(store)
    entry = store.client.rpop(store.keys.ticket_list("m"))
    assert isinstance(entry, bytes)
    ticket = json.loads(entry)
    kwargs = store.client.connection_pool.connection_kwargs
    url = f"redis://{kwargs['host']}:{kwargs['port']}/0"
    theirs = sent_by_celery(store, url, f"{job_id}:1")
    # These three name the sender or the delivery, not the task.
    theirs["headers"]["origin"] = ticket["headers"]["origin"]
    theirs["properties"]["reply_to"] = ticket["properties"]["reply_to"]
    theirs["properties"]["delivery_tag"] = ticket["properties"]["delivery_tag"]
    theirs["properties"]["delivery_info"]["routing_key"] = store.keys.ticket_list("m")
    assert ticket == theirs
