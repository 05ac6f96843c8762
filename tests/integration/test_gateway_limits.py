"""A tenant's plan at the gateway: limits over any number of processes, sizes, batches."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from gateway.ratelimit import duration
from quill.limits import Limits, Rate
from quill.store import calls
from quill.store.run import Store
from quill.tenancy.plan import LOCAL, STANDARD, Plan
from tests.integration.test_gateway_http import MODEL, claim, end, join
from tests.processes import Fleet, eventually
from tests.tenancy import Tenancy, bearer


def limited(**limits: object) -> Plan:
    return LOCAL.model_copy(update={"limits": Limits.model_validate(limits)})


def submit(
    keyed: httpx2.Client, key: str, headers: dict[str, str] | None = None, **fields: object
) -> httpx2.Response:
    return keyed.post("/v1/jobs", json={"prompt": "hello"} | fields, headers=bearer(key) | (headers or {}))


def test_a_burst_at_several_gateways_is_held_to_the_limit_exactly(
    fleet: Fleet, keyed: httpx2.Client, tenancy: Tenancy
) -> None:
    key = tenancy.newcomer("acme", limited(requests=Rate(count=40, period_s=86_400)))
    urls = [str(keyed.base_url), *(fleet.gateway(auth="keys")[1] for _ in range(2))]

    def burst(url: str) -> Counter[int]:
        with httpx2.Client(base_url=url, timeout=30) as client:
            return Counter(submit(client, key).status_code for _ in range(30))

    with ThreadPoolExecutor(6) as pool:
        statuses = sum(pool.map(burst, urls * 2), Counter[int]())
    assert statuses == {202: 40, 429: 140}


def test_what_is_left_is_told_in_the_headers(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    rates = {"requests": Rate(count=3, period_s=3600), "tokens": Rate(count=10_000), "concurrent_jobs": 8}
    key = tenancy.newcomer("acme", limited(**rates))
    headers = submit(keyed, key, max_tokens=98).headers
    assert headers["ratelimit-policy"] == (
        '"tenant-requests";q=3;w=3600, "tenant-tokens";q=10000;w=60, '
        '"tenant-concurrent_jobs";q=8;qu=concurrent-requests'
    )
    assert headers["ratelimit"] == (
        '"tenant-requests";r=2;t=1200, "tenant-tokens";r=9900;t=1, "tenant-concurrent_jobs";r=7'
    )
    assert headers["x-ratelimit-limit-requests"] == "3"
    assert headers["x-ratelimit-remaining-requests"] == "2"
    assert headers["x-ratelimit-reset-requests"] == "20m0s"
    assert headers["x-ratelimit-remaining-tokens"] == "9900"


def test_a_reached_limit_says_which_and_when_to_come_back(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    key = tenancy.newcomer("acme", limited(requests=Rate(count=1, period_s=60)))
    submit(keyed, key)
    refused = submit(keyed, key)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limit_exceeded")
    assert refused.json()["violated-policies"] == ["tenant-requests"]
    assert 55 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit"] == '"tenant-requests";r=0;t=60'
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in refused.headers


def test_an_sdk_is_told_not_to_wait_for_a_limit_of_hours(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    key = tenancy.newcomer("acme", limited(requests=Rate(count=1, period_s=3600)))
    submit(keyed, key)
    assert submit(keyed, key).headers["x-should-retry"] == "false"


def test_the_standard_plan_takes_a_hundred_requests_an_hour(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    key = tenancy.newcomer("acme", STANDARD)
    statuses = Counter(submit(keyed, key).status_code for _ in range(101))
    assert statuses == {202: 100, 429: 1}


def test_what_is_larger_than_a_limit_is_refused_for_good(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    key = tenancy.newcomer("acme", limited(tokens=Rate(count=100)))
    refused = submit(keyed, key, max_tokens=200)
    assert (refused.status_code, refused.json()["code"]) == (400, "request_exceeds_limit")
    assert submit(keyed, key, max_tokens=90).status_code == 202


def test_a_plan_bounds_texts_and_answers(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    key = tenancy.newcomer("acme", STANDARD)
    assert submit(keyed, key, prompt="x" * 8192).status_code == 202
    faults = [
        submit(keyed, key, **fields).json()["errors"][0]["pointer"]
        for fields in ({"prompt": "x" * 8193}, {"max_tokens": 1025})
    ]
    assert faults == ["#/prompt", "#/max_tokens"]


def test_a_plans_default_is_never_above_its_bound(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    plan = LOCAL.model_copy(update={"max_tokens": 64, "limits": Limits(tokens=Rate(count=1000))})
    key = tenancy.newcomer("acme", plan)
    assert submit(keyed, key).headers["x-ratelimit-remaining-tokens"] == str(1000 - 64 - 2)


def test_a_preset_asks_for_no_more_than_the_plan_has(fleet: Fleet, tenancy: Tenancy, tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text('text = "Be long."\n[defaults]\nmax_tokens = 4000\n')
    _, url = fleet.gateway(auth="keys", presets=str(tmp_path))
    key = tenancy.newcomer("acme", STANDARD)
    with httpx2.Client(base_url=url, timeout=30) as keyed:
        refused = submit(keyed, key, preset={"name": "long", "parameters": {}})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/max_tokens")


def test_the_whole_service_and_a_model_have_limits_of_their_own(fleet: Fleet, tenancy: Tenancy) -> None:
    _, url = fleet.gateway(
        auth="keys",
        models='["other"]',
        global_limits='{"concurrent_jobs": 3}',
        model_limits='{"other": {"concurrent_jobs": 1}}',
    )
    keys = [tenancy.newcomer(name) for name in ("acme", "blue")]
    with httpx2.Client(base_url=url, timeout=30) as keyed:
        assert submit(keyed, keys[0], model="other").status_code == 202
        refused = submit(keyed, keys[1], model="other")
        assert refused.json()["violated-policies"] == ["model-concurrent_jobs"]
        assert [submit(keyed, key).status_code for key in (*keys, *keys)] == [202, 202, 429, 429]
        assert "ratelimit" not in refused.headers


def test_a_batch_is_admitted_one_by_one_in_order(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    key = tenancy.newcomer("acme", limited(requests=Rate(count=150, period_s=86_400)))
    jobs = [{"prompt": f"question {number}"} for number in range(160)]
    jobs[3] = {"prompt": "x", "model": "nobody/has-it"}
    reply = keyed.post("/v1/jobs/batch", json={"jobs": jobs}, headers=bearer(key) | {"Idempotency-Key": "b"})
    entries = reply.json()["data"]
    assert reply.status_code == 200
    assert entries[3]["error"]["code"] == "model_not_found"
    assert Counter(entry["status"] for entry in entries) == {202: 150, 404: 1, 429: 9}
    assert [entry["status"] for entry in entries[151:]] == [429] * 9
    assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    again = keyed.post("/v1/jobs/batch", json={"jobs": jobs}, headers=bearer(key) | {"Idempotency-Key": "b"})
    assert again.headers["x-ratelimit-remaining-requests"] == "0"
    assert [entry["job"] and entry["job"]["id"] for entry in again.json()["data"]] == [
        entry["job"] and entry["job"]["id"] for entry in entries
    ]


def test_a_batch_with_a_wrong_entry_is_refused_whole(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    key = tenancy.newcomer("acme")
    reply = keyed.post("/v1/jobs/batch", json={"jobs": [{"prompt": "a"}, {"prompt": 7}]}, headers=bearer(key))
    assert reply.status_code == 422
    assert reply.json()["errors"] == [{"pointer": "#/jobs/1/prompt", "detail": "must be a string"}]
    assert keyed.get("/v1/jobs", headers=bearer(key)).json()["data"] == []


def test_a_client_that_counts_its_tries_gets_one_job_without_a_key(
    keyed: httpx2.Client, tenancy: Tenancy
) -> None:
    key = tenancy.newcomer("acme")
    first = submit(keyed, key, {"x-stainless-retry-count": "0"}).json()["id"]
    second = submit(keyed, key, {"x-stainless-retry-count": "0"}).json()["id"]
    retried = submit(keyed, key, {"x-stainless-retry-count": "1"})
    other = submit(keyed, key, {"x-stainless-retry-count": "1"}, prompt="another")
    assert first != second
    assert (retried.status_code, retried.json()["id"]) == (200, second)
    assert other.status_code == 202


def test_a_retry_of_a_refused_first_try_is_a_new_job(
    keyed: httpx2.Client, tenancy: Tenancy, store: Store
) -> None:
    key = tenancy.newcomer("acme", limited(concurrent_jobs=1))
    earlier = submit(keyed, key, {"x-stainless-retry-count": "0"}).json()["id"]
    store.run(calls.cancel(earlier, "acme"))
    other = submit(keyed, key, prompt="another").json()["id"]
    assert submit(keyed, key, {"x-stainless-retry-count": "0"}).status_code == 429
    store.run(calls.cancel(other, "acme"))
    retried = submit(keyed, key, {"x-stainless-retry-count": "1"})
    assert (retried.status_code, retried.json()["id"] == earlier) == (202, False)


def test_a_refused_first_try_takes_from_nobody_the_job_that_is_under_way(
    keyed: httpx2.Client, tenancy: Tenancy
) -> None:
    key = tenancy.newcomer("acme", limited(concurrent_jobs=1))
    accepted = submit(keyed, key, {"x-stainless-retry-count": "0"}).json()["id"]
    assert submit(keyed, key, {"x-stainless-retry-count": "0"}).status_code == 429
    assert submit(keyed, key, {"x-stainless-retry-count": "1"}).json()["id"] == accepted


def test_a_counted_try_is_remembered_for_a_quarter_of_an_hour_whatever_becomes_of_its_job(
    keyed: httpx2.Client, tenancy: Tenancy, store: Store
) -> None:
    key = tenancy.newcomer("acme")
    job_id = submit(keyed, key, {"x-stainless-retry-count": "0"}).json()["id"]
    store.run(calls.cancel(job_id, "acme"))
    (name,) = store.client.scan_iter(f"{store.keys.namespace}:idem:*")
    assert 890_000 < int(store.client.pttl(name)) <= 900_000
    store.client.pexpire(name, 10_000)
    assert submit(keyed, key, {"x-stainless-retry-count": "1"}).json()["id"] == job_id
    assert int(store.client.pttl(name)) > 890_000


def test_who_prefers_to_wait_gets_the_answer_with_the_first_reply(
    keyed: httpx2.Client, tenancy: Tenancy, store: Store
) -> None:
    key = tenancy.newcomer("acme")
    join(store)
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(submit, keyed, key, {"Prefer": "respond-async, wait=20"})
        eventually(lambda: store.client.llen(store.keys.ticket_list(MODEL)))
        end(store, claim(store))
        told = reply.result()
    assert (told.status_code, told.json()["state"]) == (200, "succeeded")
    assert told.headers["preference-applied"] == "wait=20"
    assert submit(keyed, key, {"Prefer": "wait=0"}).status_code == 202


def test_a_poll_is_told_when_to_ask_again(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    key = tenancy.newcomer("acme")
    job_id = submit(keyed, key).json()["id"]
    headers = keyed.get(f"/v1/jobs/{job_id}", headers=bearer(key)).headers
    assert (headers["retry-after"], headers["openai-poll-after-ms"]) == ("1", "1000")
    keyed.delete(f"/v1/jobs/{job_id}", headers=bearer(key))
    assert "retry-after" not in keyed.get(f"/v1/jobs/{job_id}", headers=bearer(key)).headers


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0ms"),
        (0.012, "12ms"),
        (1, "1s"),
        (7.66, "7.66s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3663.4, "1h1m3s"),
    ],
)
def test_durations_are_written_as_openai_does(seconds: float, told: str) -> None:
    assert duration(seconds) == told
