"""What the gateway does when something is wrong: with a worker's words, a request, or with itself."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from fastapi import Request
from structlog.testing import capture_logs

from gateway.app import create_app
from gateway.problems import Problem
from quill.job import Job
from quill.pricing import ModelFacts
from quill.settings import GatewaySettings
from quill.store import calls
from quill.store.call import Call
from quill.store.run import Store
from tests.gateways import client_of, in_process
from tests.processes import Fleet, eventually
from tests.valkey import ValkeyServer

MODEL = "quill-tiny"
IS_JSON = {"Content-Type": "application/json"}


@pytest.fixture
def url(valkey: ValkeyServer, gateway_url: str) -> str:
    return gateway_url


def test_a_worker_that_reports_nonsense_does_not_blind_the_gateway(url: str, store: Store) -> None:
    store.run(calls.join("odd", MODEL, 1, "no json", ModelFacts(1000)))
    store.client.lpush(store.keys.recent(MODEL), "no json", '"text"', "{}", '{"total_ms":"many"}')
    store.client.hset(store.keys.model("other"), mapping={"context_tokens": "many"})
    store.client.sadd(store.keys.models, "other")
    workers = eventually(lambda: httpx2.get(f"{url}/v1/workers").json()["data"], within_s=5)
    assert [worker["report"] for worker in workers] == [{}]
    assert httpx2.get(f"{url}/v1/health").status_code == 200
    report = '{"rss_bytes":"many","load":NaN}'
    store.run(calls.join("late", "late/model", 1, report, ModelFacts(1000)))

    def reports() -> list[object]:
        return [worker["report"] for worker in httpx2.get(f"{url}/v1/workers").json()["data"]]

    assert eventually(lambda: {"rss_bytes": "many", "load": None} in reports(), within_s=5)
    assert httpx2.get(f"{url}/v1/health").status_code == 200


def test_a_prompt_that_cannot_fit_is_refused_from_the_first_workers_first_moment(
    fleet: Fleet, store: Store
) -> None:
    _, url = fleet.gateway()
    body = {"prompt": "x" * 400}
    assert httpx2.post(f"{url}/v1/jobs", json=body).status_code == 202
    store.run(calls.join("w", MODEL, 1, "{}", ModelFacts(50)))
    reply = httpx2.post(f"{url}/v1/jobs", json=body)
    assert (reply.status_code, reply.json()["code"]) == (400, "context_length_exceeded")


def test_a_model_is_known_from_its_first_workers_first_moment(url: str, store: Store) -> None:
    body = {"prompt": "x", "model": "some/model"}
    assert httpx2.post(f"{url}/v1/jobs", json=body).status_code == 404
    store.run(calls.join("w", "some/model", 1, "{}", ModelFacts(50)))
    assert httpx2.post(f"{url}/v1/jobs", json=body).status_code == 202


def test_a_full_queue_says_when_to_come_again(fleet: Fleet) -> None:
    _, url = fleet.gateway(max_queued_jobs=1)
    assert httpx2.post(f"{url}/v1/jobs", json={"prompt": "x"}).status_code == 202
    reply = httpx2.post(f"{url}/v1/jobs", json={"prompt": "x"})
    assert (reply.status_code, reply.json()["code"]) == (503, "queue_full")
    assert int(reply.headers["retry-after"]) >= 1


def test_a_key_whose_job_is_gone_stands_for_a_new_one(url: str, store: Store) -> None:
    headers = {"Idempotency-Key": "k"}
    job_id = httpx2.post(f"{url}/v1/jobs", json={"prompt": "x"}, headers=headers).json()["id"]
    store.client.delete(f"quill:job:{job_id}", f"quill:request:{job_id}")
    reply = httpx2.post(f"{url}/v1/jobs", json={"prompt": "x"}, headers=headers)
    assert reply.status_code == 202
    assert httpx2.get(f"{url}{reply.headers['location']}").json()["id"] == reply.json()["id"] != job_id


async def test_a_job_that_goes_while_its_key_is_replayed_is_not_made_up(
    valkey: ValkeyServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = calls.read

    def read_too_late(tenant: str, job_ids: Sequence[str]) -> Call[list[Job | None]]:
        store.client.delete(f"quill:job:{job_ids[0]}")
        return read(tenant, job_ids)

    monkeypatch.setattr(calls, "read", read_too_late)
    async with in_process(valkey) as app, client_of(app) as http:
        headers = {"Idempotency-Key": "k"}
        replies = [await http.post("/v1/jobs", json={"prompt": "x"}, headers=headers) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [202, 404]
    assert replies[1].json()["code"] == "job_not_found"


async def test_an_admission_whose_reply_was_lost_is_not_called_a_replay(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client library asks again by itself, and the second answer finds the job of the first."""
    monkeypatch.setattr("quill.ids.new_job_id", lambda: "job_same")
    async with in_process(valkey) as app, client_of(app) as http:
        replies = [await http.post("/v1/jobs", json={"prompt": "x"}) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [202, 202]
    assert "idempotent-replayed" not in replies[1].headers


def test_the_order_of_fields_does_not_make_another_body(url: str) -> None:
    bodies = (
        '{"prompt":"x","metadata":{"a":"1","b":"2"}}',
        '{"metadata":{"b":"2","a":"1"}, "stream":false, "prompt":"x"}',
    )
    headers = IS_JSON | {"Idempotency-Key": "k"}
    replies = [httpx2.post(f"{url}/v1/jobs", content=body, headers=headers) for body in bodies]
    assert [reply.status_code for reply in replies] == [202, 200]


async def test_a_defect_is_answered_with_an_id_and_without_its_text(valkey: ValkeyServer) -> None:
    app = create_app(GatewaySettings(redis_url=valkey.url, auth="off"))

    @app.post("/broken")
    async def broken(request: Request) -> None:
        raise RuntimeError((await request.body()).decode())

    transport = httpx2.ASGITransport(app, raise_app_exceptions=True)
    with capture_logs() as said:
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
            reply = await http.post("/broken", content="a secret prompt", headers={"X-Request-ID": "mine"})
    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert (reply.json()["request_id"], reply.headers["x-request-id"]) == ("mine", "mine")
    [defect] = [line for line in said if line["action"] == "internal_error"]
    assert (defect["error_type"], "broken" in defect["where"][-1]) == ("RuntimeError", True)
    assert "secret" not in reply.text + str(said)


def test_a_problem_stays_small_whatever_was_sent(url: str) -> None:
    for body in ({f"k{i}": 0 for i in range(50_000)}, {"k" * 500_000: 0}, {"metadata": {"k" * 500_000: "v"}}):
        reply = httpx2.post(f"{url}/v1/jobs", json={"prompt": "x"} | body, timeout=30)
        assert reply.status_code == 422
        assert len(reply.content) < 4000


def test_an_item_that_is_refused_does_not_make_its_list_too_short(url: str) -> None:
    def places(messages: object) -> list[str]:
        reply = httpx2.post(f"{url}/v1/jobs", json={"messages": messages})
        return [error["pointer"] for error in reply.json()["errors"]]

    assert places([{"role": "root", "content": "x"}]) == ["#/messages/0/role"]
    assert places([]) == ["#/messages"]


def test_a_client_that_leaves_while_it_sends_is_no_defect(fleet: Fleet) -> None:
    gateway, url = fleet.gateway()
    with socket.create_connection(("127.0.0.1", httpx2.URL(url).port or 0)) as client:
        client.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b'Content-Length: 100\r\n\r\n{"prompt":'
        )
        time.sleep(0.3)
    [line] = eventually(lambda: gateway.said("request"))
    assert line["status"] == 499
    assert gateway.said("internal_error") == []
    assert "Traceback" not in gateway.log.read_text()


def test_the_contract_names_every_schema_it_refers_to(url: str) -> None:
    openapi = httpx2.get(f"{url}/openapi.json").json()
    text = json.dumps(openapi)
    refs = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert refs <= set(openapi["components"]["schemas"])
    assert {"JobRequest", "Job", "Problem"} <= refs
    assert "HTTPValidationError" not in text


async def test_the_contract_is_made_once_however_often_it_is_asked_for(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def schema_of(*arguments: object, **options: object) -> Any:
        made.append(arguments)
        return schema(*arguments, **options)

    schema: Any = Problem.model_json_schema
    monkeypatch.setattr(Problem, "model_json_schema", schema_of)
    async with in_process(valkey) as app, client_of(app) as http:
        replies = [await http.get("/openapi.json") for _ in range(3)]
    assert {reply.headers["content-type"] for reply in replies} == {"application/json"}
    assert len({reply.content for reply in replies}) == len(made) == 1
