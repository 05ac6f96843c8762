"""Which servers keep the promise of a 202."""

from __future__ import annotations

from typing import Any

import pytest

from quill.settings import Settings
from quill.store.fitness import StoreUnfit, findings, judge

FIT = {"redis_version": "7.2.4", "cluster_enabled": 0, "aof_enabled": 1, "maxmemory_policy": "noeviction"}


def test_a_server_with_an_append_only_file_that_never_evicts_is_fit() -> None:
    assert findings(FIT) == []


@pytest.mark.parametrize(
    ("wrong", "word"),
    [({"aof_enabled": 0}, "appendonly yes"), ({"maxmemory_policy": "allkeys-lru"}, "noeviction")],
)
def test_a_server_that_may_lose_jobs_is_told_of_or_refused(wrong: dict[str, Any], word: str) -> None:
    found = findings(FIT | wrong)
    judge(found, Settings(store_checks="warn"))
    with pytest.raises(StoreUnfit, match=word):
        judge(found, Settings(store_checks="refuse"))


@pytest.mark.parametrize("wrong", [{"redis_version": "6.2.14"}, {"cluster_enabled": 1}])
def test_a_server_that_quill_cannot_run_on_is_always_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(StoreUnfit):
        judge(findings(FIT | wrong), Settings(store_checks="warn"))


@pytest.mark.parametrize("url", ["redis+cluster://a", "http://a"])
def test_an_address_that_is_not_one_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Redis Cluster is not supported"):
        Settings(redis_url=url)
