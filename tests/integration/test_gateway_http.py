"""The gateway as its callers meet it: a real process, a real store, a worker played by the test."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import httpx2
import pytest

from quill.errors import JobFailed
from quill.pricing import ModelFacts
from quill.result import JobResult, Usage
from quill.states import TERMINAL, State
from quill.store import calls, record
from quill.store.attempt import Chunk, Claim
from quill.store.run import Store
from tests.integration.jobs import ticket
from tests.processes import Fleet, eventually
from tests.valkey import ValkeyServer

MODEL = "quill-tiny"
RESULT = JobResult(
    text="one two", finish_reason="stop", usage=Usage(prompt_tokens=3, completion_tokens=2)
).model_dump_json()


def join(store: Store, context_tokens: int = 1000) -> None:
    store.run(calls.join("w", MODEL, 8, "{}", ModelFacts(context_tokens, base_tokens=5)))


def claim(store: Store, token: str = "token") -> Claim:
    job_id, seq = eventually(lambda: ticket(store, MODEL))
    return store.run(calls.claim(job_id, seq, "w", token))


def end(store: Store, claimed: Claim, state: State = State.SUCCEEDED, tail: tuple[Chunk, ...] = ()) -> None:
    outcome = RESULT if state is State.SUCCEEDED else record.fault_json(JobFailed)
    store.run(calls.finish(claimed, state, outcome, tail=tail))


def submit(http: httpx2.Client, **fields: object) -> str:
    reply = http.post("/v1/jobs", json={"prompt": "hello"} | fields)
    assert reply.status_code == 202, reply.text
    job_id: str = reply.json()["id"]
    return job_id


def events_of(reply: httpx2.Response) -> list[tuple[str, str | None, dict[str, object]]]:
    found = []
    for block in reply.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return found


def test_a_job_is_accepted_run_and_read(http: httpx2.Client, store: Store) -> None:
    join(store)
    reply = http.post("/v1/jobs", json={"prompt": "hello", "class": "batch", "metadata": {"a": "b"}})
    assert reply.status_code == 202
    job = reply.json()
    assert (job["state"], job["class"], job["metadata"]) == ("queued", "batch", {"a": "b"})
    assert reply.headers["location"] == f"/v1/jobs/{job['id']}"
    end(store, claim(store))
    job = http.get(f"/v1/jobs/{job['id']}").json()
    assert (job["state"], job["result"]["text"], job["attempt"]) == ("succeeded", "one two", 1)


def test_the_same_key_and_body_is_the_same_job(http: httpx2.Client) -> None:
    headers = {"Idempotency-Key": "k"}
    first = http.post("/v1/jobs", json={"prompt": "a"}, headers=headers)
    again = http.post("/v1/jobs", json={"prompt": "a"}, headers=headers)
    other = http.post("/v1/jobs", json={"prompt": "b"}, headers=headers)
    assert (first.status_code, again.status_code, other.status_code) == (202, 200, 422)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert other.json()["code"] == "idempotency_conflict"


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
def test_a_strange_idempotency_key_is_refused(http: httpx2.Client, key: str) -> None:
    reply = http.post("/v1/jobs", json={"prompt": "a"}, headers={"Idempotency-Key": key})
    assert reply.status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        (b"{", 400, None),
        (b"", 400, None),
        (b"[]", 422, "#"),
        (b'{"prompt": 1}', 422, "#/prompt"),
        (b'{"prompt": "x", "surprise": 1}', 422, "#/surprise"),
        (b'{"prompt": "x", "temperature": NaN}', 400, None),
        (b'{"prompt": "x", "temperature": 1e400}', 422, "#/temperature"),
        (b'{"prompt": "x", "max_tokens": 0}', 422, "#/max_tokens"),
        (b'{"prompt": "x", "max_tokens": 99999999999999999999999}', 422, "#/max_tokens"),
        (b'{"prompt": "x", "max_tokens": "5"}', 422, "#/max_tokens"),
        (b'{"prompt": "x", "class": "vip"}', 422, "#/class"),
        (b'{"prompt": "\\ud800"}', 422, "#/prompt"),
        (b'{"messages": [{"role": "user", "content": "\\udfff"}]}', 422, "#/messages/0/content"),
        (b'{"messages": [{"role": "root", "content": "x"}]}', 422, "#/messages/0/role"),
        (b'{"messages": []}', 422, "#/messages"),
        (b'{"prompt": "x", "messages": [{"role": "user", "content": "x"}]}', 422, "#"),
        (b"{}", 422, "#"),
        (b'{"prompt": "\xff"}', 400, None),
        (b"[" * 1000 + b"]" * 1000, 400, None),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, 400, None),
        (b'{"prompt": "' + b"x" * 10_000_000 + b'"}', 413, None),
    ],
)
def test_a_malformed_body_is_a_problem_with_a_place(
    http: httpx2.Client, body: bytes, status: int, place: str | None
) -> None:
    reply = http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert problem["request_id"] == reply.headers["x-request-id"]
    if place is not None:
        assert place in [error["pointer"] for error in problem["errors"]]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_does_not_say_it_is_json_is_refused(http: httpx2.Client, media_type: str) -> None:
    reply = http.post("/v1/jobs", content=b'{"prompt":"x"}', headers={"Content-Type": media_type})
    assert reply.status_code == 415


def test_no_problem_repeats_what_was_sent(http: httpx2.Client) -> None:
    secret = "my-secret-prompt"
    for body in ({"prompt": [secret]}, {"messages": secret}, {"model": secret + "!", "prompt": secret}):
        assert secret not in http.post("/v1/jobs", json=body).text


def test_an_unknown_model_is_not_found(http: httpx2.Client) -> None:
    reply = http.post("/v1/jobs", json={"prompt": "x", "model": "nobody/has-it"})
    assert (reply.status_code, reply.json()["code"]) == (404, "model_not_found")


def test_a_prompt_that_cannot_fit_is_refused_before_the_202(http: httpx2.Client, store: Store) -> None:
    join(store, context_tokens=50)
    eventually(lambda: http.get("/v1/models").json()["data"][0]["context_tokens"] == 50)
    reply = http.post("/v1/jobs", json={"prompt": "x" * 400})
    assert (reply.status_code, reply.json()["code"]) == (400, "context_length_exceeded")
    assert http.post("/v1/jobs", json={"prompt": "x" * 40}).status_code == 202
    assert http.post("/v1/jobs", json={"prompt": "x", "max_tokens": 50}).status_code == 400


@pytest.mark.parametrize("path", ["/v1/jobs/job_x", "/v1/jobs/job_x/events", "/nothing", "/v1/jobs/%00"])
def test_what_is_not_there_is_a_problem_too(http: httpx2.Client, path: str) -> None:
    reply = http.get(path)
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")


def test_the_short_way_past_the_router_answers_as_the_router_does(http: httpx2.Client, store: Store) -> None:
    ended, running = submit(http), submit(http)
    join(store)
    end(store, claim(store))
    claim(store)
    for path in (ended, f"{ended}/events", running, "job_x", "job_x/events", "batch", "%00", "a b%C3%BC"):
        short, long = (http.get(f"/v1/jobs/{path}{query}") for query in ("", "?x=1"))
        assert told(short) == told(long), path


def told(reply: httpx2.Response) -> tuple[int, dict[str, str], str]:
    """All but what names the request and the moment."""
    own = {name: value for name, value in reply.headers.items() if name not in ("x-request-id", "date")}
    body = reply.text.replace(reply.headers["x-request-id"], "")
    return reply.status_code, own, body


def test_a_long_poll_wakes_at_the_end(http: httpx2.Client, store: Store) -> None:
    join(store)
    job_id = submit(http)
    claimed = claim(store)
    threading.Timer(0.5, end, (store, claimed)).start()
    started_s = time.monotonic()
    job = http.get(f"/v1/jobs/{job_id}", params={"wait": 20}).json()
    assert job["state"] == "succeeded"
    assert time.monotonic() - started_s < 2


def test_a_long_poll_gives_the_state_when_its_time_is_over(http: httpx2.Client) -> None:
    job = http.get(f"/v1/jobs/{submit(http)}", params={"wait": 0.2}).json()
    assert job["state"] == "queued"


def test_queued_and_running_jobs_can_be_cancelled_and_ended_ones_not(
    http: httpx2.Client, store: Store
) -> None:
    queued = submit(http)
    assert http.delete(f"/v1/jobs/{queued}").json()["state"] == "cancelled"
    assert http.delete(f"/v1/jobs/{queued}").status_code == 200
    running = submit(http)
    join(store)
    claim(store)
    assert http.delete(f"/v1/jobs/{running}").json()["state"] == "cancelled"
    ended = submit(http)
    end(store, claim(store))
    reply = http.delete(f"/v1/jobs/{ended}")
    assert (reply.status_code, reply.json()["code"]) == (409, "job_not_cancellable")
    assert reply.headers["x-should-retry"] == "false"


def test_pages_show_every_job_once_while_more_arrive(http: httpx2.Client) -> None:
    jobs = [submit(http) for _ in range(7)]
    seen: list[str] = []
    after = None
    while True:
        page = http.get("/v1/jobs", params={"limit": 3} | ({"after": after} if after else {})).json()
        seen += [job["id"] for job in page["data"]]
        submit(http)
        after = page["next"]
        if not page["has_more"]:
            break
    assert seen == jobs[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "after=zzz", "after=-1"])
def test_a_strange_page_is_refused(http: httpx2.Client, query: str) -> None:
    assert http.get(f"/v1/jobs?{query}").status_code == 422


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_stream_ends_on_every_terminal_state(http: httpx2.Client, store: Store, state: State) -> None:
    join(store)
    job_id = submit(http, stream=True)
    claimed = claim(store)
    store.run(calls.emit([Chunk(job_id, 1, "token", 1, '{"text":"one"}')], 60))
    last = Chunk(job_id, 1, "token", 2, '{"text":" two"}')
    timer = threading.Timer(0.2, end, (store, claimed, state, (last,)))
    timer.start()
    found = events_of(http.get(f"/v1/jobs/{job_id}/events"))
    timer.join()
    assert [event for event, _, _ in found if event != "status"] == ["delta", "delta", "done"]
    assert "".join(str(data["text"]) for event, _, data in found if event == "delta") == "one two"
    assert found[-1][2]["state"] == state


def test_a_stream_goes_on_where_it_was_cut(http: httpx2.Client, store: Store) -> None:
    join(store)
    job_id = submit(http, stream=True)
    claimed = claim(store)
    for number, text in enumerate(("one", " two", " three"), 1):
        store.run(calls.emit([Chunk(job_id, 1, "token", number, json.dumps({"text": text}))], 60))
    end(store, claimed)
    whole = [event for event in events_of(http.get(f"/v1/jobs/{job_id}/events")) if event[0] == "delta"]
    rest = http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": str(whole[0][1])})
    assert [event for event in events_of(rest) if event[0] == "delta"] == whole[1:]


def test_two_attempts_are_never_glued_together(http: httpx2.Client, store: Store) -> None:
    join(store)
    job_id = submit(http, stream=True)
    claim(store, "first")
    store.run(calls.emit([Chunk(job_id, 1, "first", 1, '{"text":"old"}')], 60))
    first_id = store.client.xrange(store.keys.output(job_id, 1))
    store.client.zadd("quill:leases:quill-tiny", {job_id: 1})
    store.run(calls.sweep())
    again = claim(store, "second")
    store.run(calls.emit([Chunk(job_id, 2, "second", 1, '{"text":"new"}')], 60))
    end(store, again)
    last = f"1.{first_id[0][0].decode()}"  # type: ignore[index,union-attr]  # a list of pairs
    found = events_of(http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last}))
    told = [(event, data.get("text")) for event, _, data in found if event != "status"]
    assert told == [("restart", None), ("delta", "new"), ("done", None)]


def test_a_submission_costs_one_round_trip(http: httpx2.Client, store: Store) -> None:
    join(store)
    submit(http)
    with store.client.monitor() as monitor:  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        submit(http)
        seen = []
        for command in monitor.listen():
            words = str(command["command"]).split(" ")
            if command["client_type"] != "lua":
                seen.append(words[0].upper())
            if len(words) > 4 and words[0].upper() == "EVALSHA" and words[4].startswith("job_"):
                break
    assert seen.count("EVALSHA") <= 2  # ours and perhaps a sweep that came between


def test_a_gateway_outlives_its_store(own_valkey: ValkeyServer, own_fleet: Fleet) -> None:
    _, url = own_fleet.gateway(store_timeout_s=1)
    with httpx2.Client(base_url=url, timeout=30) as http:
        job_id = submit(http)
        own_valkey.kill()
        started_s = time.monotonic()
        reply = http.post("/v1/jobs", json={"prompt": "x"})
        assert (reply.status_code, reply.json()["code"]) == (503, "store_unavailable")
        assert "retry-after" in reply.headers
        assert http.get("/readyz").status_code == 503
        assert http.get("/healthz").status_code == 200
        assert time.monotonic() - started_s < 10
        own_valkey.start()
        assert eventually(lambda: http.get("/readyz").status_code == 200)
        assert http.get(f"/v1/jobs/{job_id}").json()["state"] == "queued"


def health_if(http: httpx2.Client, status: str) -> dict[str, Any]:
    """Empty if it is another; what a gateway says may be a moment old."""
    health: dict[str, Any] = http.get("/v1/health").json()
    return health if health["status"] == status else {}


def test_health_says_what_to_do(http: httpx2.Client, store: Store) -> None:
    health = eventually(lambda: health_if(http, "down"))
    assert any("quill worker" in advice for advice in health["recommendations"])
    store.run(calls.join("w", MODEL, 1, json.dumps({"rss_bytes": 2_000_000_000}), ModelFacts(100)))
    health = eventually(lambda: health_if(http, "degraded"))
    failing = [check["name"] for check in health["checks"] if check["status"] != "ok"]
    assert failing == ["memory_mb"]
