"""Any Celery program can enqueue, and reads the outcome from its own result backend."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from celery import Celery
from pydantic import SecretStr

from quill import ids
from quill.intake.signature import UnknownSender, tenant_of, tenant_token
from quill.states import State
from quill.store import calls, listing
from quill.store.run import Store
from tests.processes import Fleet, eventually
from tests.valkey import ValkeyServer

SECRET = "between the operator and the intake"


@pytest.fixture
def program(valkey: ValkeyServer) -> Iterator[Celery]:
    """A Celery program that knows nothing of Quill but two names."""
    app = Celery(broker=valkey.url, backend=valkey.url, set_as_current=False)
    app.conf.broker_connection_retry_on_startup = True
    yield app
    app.close()


def send(program: Celery, request: object, **options: object) -> object:
    kwargs = {"request": request}
    return program.send_task("quill.generate", kwargs=kwargs, queue="quill.submit", **options)


@pytest.mark.timeout(60)
def test_a_stock_celery_program_gets_its_answer(program: Celery, fleet: Fleet) -> None:
    fleet.worker(simulated_step_s=0.0)
    fleet.start("quill.intake").wait_for("intake_ready")
    task = send(program, {"prompt": "hello", "max_tokens": 3})
    answer = task.get(timeout=20)  # type: ignore[attr-defined]  # celery has no types
    assert answer["finish_reason"] == "length"
    assert len(answer["text"].split()) == 3


@pytest.mark.timeout(60)
def test_a_bad_request_fails_under_the_callers_id(program: Celery, fleet: Fleet) -> None:
    fleet.start("quill.intake").wait_for("intake_ready")
    task = send(program, {"prompt": 7})
    with pytest.raises(Exception, match="not valid at: prompt"):
        task.get(timeout=20)  # type: ignore[attr-defined]  # celery has no types


@pytest.mark.timeout(60)
def test_a_mistyped_model_fails_under_the_callers_id(program: Celery, fleet: Fleet, store: Store) -> None:
    fleet.start("quill.intake").wait_for("intake_ready")
    task = send(program, {"prompt": "hello", "model": "quill-tinny"})
    with pytest.raises(Exception, match="No such model"):
        task.get(timeout=20)  # type: ignore[attr-defined]  # celery has no types
    assert store.run(listing.page("local", None, 10)) == []


@pytest.mark.timeout(60)
def test_a_message_that_comes_twice_makes_one_job(program: Celery, fleet: Fleet, store: Store) -> None:
    intake = fleet.start("quill.intake")
    intake.wait_for("intake_ready")
    task_id = str(uuid.uuid4())
    for _ in range(2):
        send(program, {"prompt": "hello"}, task_id=task_id)
    eventually(lambda: len(intake.said("intake_admit")) == 2)
    assert [said["is_replay"] for said in intake.said("intake_admit")] == [False, True]
    jobs = store.run(listing.page("local", None, 10))
    assert [job.job_id for job in jobs] == [ids.derived_job_id("local", task_id)]


@pytest.mark.timeout(60)
def test_a_cancelled_job_is_revoked_for_the_caller(program: Celery, fleet: Fleet, store: Store) -> None:
    fleet.start("quill.intake").wait_for("intake_ready")
    task = send(program, {"prompt": "hello"})
    job_id = ids.derived_job_id("local", task.id)  # type: ignore[attr-defined]  # celery has no types
    eventually(lambda: store.run(calls.read("local", [job_id]))[0])
    assert store.run(calls.cancel(job_id, "local")) is State.CANCELLED
    assert eventually(lambda: task.state == "REVOKED")  # type: ignore[attr-defined]


@pytest.mark.timeout(60)
def test_the_tenant_is_the_one_that_signed(program: Celery, fleet: Fleet, store: Store) -> None:
    intake = fleet.start("quill.intake", intake_secret=SECRET)
    intake.wait_for("intake_ready")
    token = tenant_token("acme", SecretStr(SECRET))
    send(program, {"prompt": "hello"}, headers={"quill_tenant": token})
    unsigned = send(program, {"prompt": "hello"})
    assert eventually(lambda: store.run(listing.page("acme", None, 10)))
    with pytest.raises(Exception, match="not signed"):
        unsigned.get(timeout=20)  # type: ignore[attr-defined]  # celery has no types


@pytest.mark.timeout(60)
def test_another_tenant_cannot_answer_under_a_foreign_id(program: Celery, fleet: Fleet, store: Store) -> None:
    intake = fleet.start("quill.intake", intake_secret=SECRET)
    intake.wait_for("intake_ready")
    task_id = str(uuid.uuid4())
    for tenant in ("acme", "mallory"):
        headers = {"quill_tenant": tenant_token(tenant, SecretStr(SECRET))}
        send(program, {"prompt": "hello"}, task_id=task_id, headers=headers)
    intake.wait_for("intake_conflict")
    assert len(store.run(listing.page("acme", None, 10))) == 1
    assert store.run(listing.page("mallory", None, 10)) == []
    assert store.client.exists(f"celery-task-meta-{task_id}") == 0


@pytest.mark.parametrize("token", [None, "", "v1.acme", "v1.acme.00", "v1.a b.00", 7, "v1.acme." + "é"])
def test_an_unsigned_name_is_nobody(token: object) -> None:
    with pytest.raises(UnknownSender):
        tenant_of(token, SecretStr(SECRET))
