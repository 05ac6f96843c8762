"""`quill tenants` and `quill keys`, straight in the store."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from quill.cli import main
from quill.tenancy import apikey
from tests.tenancy import Tenancy
from tests.valkey import ValkeyServer


class Operator:
    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url

    def tell(self, *words: str) -> Result:
        return CliRunner().invoke(main, [*words, "--redis-url", self._redis_url])

    def read(self, *words: str) -> list[dict[str, Any]]:
        told = self.tell(*words)
        assert told.exit_code == 0, told.output
        return [json.loads(line) for line in told.stdout.splitlines()]

    def key(self, tenant_id: str, *words: str) -> str:
        told = self.tell("keys", "create", tenant_id, *words)
        assert told.exit_code == 0, told.output
        return told.stdout.strip()


@pytest.fixture
def operator(valkey: ValkeyServer) -> Operator:
    return Operator(valkey.url)


def test_a_plan_is_changed_in_parts_and_listed(operator: Operator) -> None:
    operator.read("tenants", "create", "acme", "--set", "limits.requests.count=1000")
    operator.read("tenants", "create", "blue", "--plan", "local")
    operator.read("tenants", "set", "acme", "weight=2", "limits.tokens.count=5000")
    plans = {tenant["id"]: tenant["plan"] for tenant in operator.read("tenants", "list")}
    assert set(plans) == {"acme", "blue"}
    assert plans["acme"]["weight"] == 2
    limits = plans["acme"]["limits"]
    assert (limits["requests"]["count"], limits["tokens"]["count"]) == (1000, 5000)


def test_a_key_is_handed_out_once_with_limits_of_its_own(operator: Operator) -> None:
    operator.read("tenants", "create", "acme")
    text = operator.key("acme", "--name", "backend", "--scope", "jobs:read", "--set", "requests.count=7")
    (key,) = operator.read("keys", "list", "acme")
    assert (key["name"], key["scopes"], key["limits"]["requests"]["count"]) == ("backend", ["jobs:read"], 7)
    assert text not in operator.tell("keys", "list", "acme").output
    assert "sha256" not in json.dumps(key)


def test_a_rotated_key_has_two_texts_and_a_revoked_one_none(operator: Operator, valkey: ValkeyServer) -> None:
    operator.read("tenants", "create", "acme")
    first = operator.key("acme")
    key_id = operator.read("keys", "list", "acme")[0]["id"]
    second = operator.tell("keys", "rotate", key_id, "--old-hours", "1").stdout.strip()

    def admitted() -> list[bool]:
        stored = Tenancy(valkey.url).run(lambda registry: registry.key(key_id))
        texts = [apikey.parse(text) for text in (first, second)]
        return [stored.admits(text.sha256, stored.created_at) for text in texts if text]

    assert admitted() == [True, True]
    assert operator.tell("keys", "revoke", key_id).exit_code == 0
    assert admitted() == [False, False]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("tenants", "create", "acme", "--set", "weight"), "NAME=VALUE"),
        (("tenants", "create", "acme", "--set", "weight=-1"), "weight"),
        (("keys", "create", "acme", "--scope", "everything"), "no such scope"),
        (("keys", "create", "acme", "--set", "requests.count=0"), "requests.count"),
        (("keys", "create", "nobody"), "tenant"),
    ],
)
def test_what_is_wrong_is_said(operator: Operator, words: tuple[str, ...], hint: str) -> None:
    told = operator.tell(*words)
    assert told.exit_code != 0
    assert hint in told.output.lower() or hint in told.output
    assert "Traceback" not in told.output
