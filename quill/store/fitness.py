"""Whether a server can keep the promise of a 202, by what it says of itself in INFO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import NoPermissionError, RedisError

from quill.errors import QuillError
from quill.settings import Settings
from quill.store.run import AsyncStore, Store, translated

_log = structlog.get_logger(__name__)

#: Scripts with flags came with Redis 7.0; Valkey's `redis_version` is that of its fork, 7.2.
_VERSION_AT_LEAST = (7, 0)


class StoreUnfit(QuillError):
    """The store is not set up for jobs that must not be lost."""

    code = "store_unfit"


@dataclass(frozen=True, slots=True)
class Finding:
    sentence: str
    #: Quill does not run on such a server, whatever the settings say.
    is_fatal: bool = False


def findings(info: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with the server whose INFO this is."""
    found = []
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if version < _VERSION_AT_LEAST:
        found.append(Finding(f"It is Redis {info['redis_version']}; Quill needs 7.0, or Valkey.", True))
    if info.get("cluster_enabled"):
        found.append(Finding("It is a Redis Cluster; Quill needs a single server.", True))
    if not info.get("aof_enabled"):
        found.append(Finding("Its append-only file is off: a restart loses jobs. Set `appendonly yes`."))
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(
            Finding(f"It may evict jobs when it is full ({policy}). Set `maxmemory-policy noeviction`.")
        )
    return found


def judge(found: list[Finding], settings: Settings) -> None:
    """Logs what was found. Raises ``StoreUnfit`` for what the settings, or Quill, do not tolerate."""
    for finding in found:
        if finding.is_fatal or settings.store_checks == "refuse":
            raise StoreUnfit(f"The store is unfit. {finding.sentence}")
        _log.warning(finding.sentence, action="store_unfit")


@contextmanager
def _asking(settings: Settings) -> Iterator[None]:
    """Around a call of INFO, blocking or awaited. Raises ``StoreUnavailable``."""
    try:
        yield
    except NoPermissionError:
        judge([Finding("It could not be checked: this user may not call INFO.")], settings)
    except RedisError as error:
        raise translated(error) from error


def check(store: Store, settings: Settings) -> None:
    """Raises ``StoreUnfit`` or ``StoreUnavailable``."""
    if settings.store_checks != "off":
        with _asking(settings):
            judge(findings(store.client.info()), settings)


async def check_async(store: AsyncStore, settings: Settings) -> None:
    """Raises ``StoreUnfit`` or ``StoreUnavailable``."""
    if settings.store_checks != "off":
        with _asking(settings):
            judge(findings(await store.client.info()), settings)
