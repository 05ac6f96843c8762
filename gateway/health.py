"""Whether the service is well: checks against thresholds, averages, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from gateway.directory import Snapshot
from quill.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    is_ok: bool
    observed: float | None
    threshold: float | None
    #: What to do when the check fails.
    advice: str

    def as_json(self) -> dict[str, Any]:
        fields = asdict(self)
        fields["status"] = "ok" if fields.pop("is_ok") else "failing"
        del fields["advice"]
        return fields


def _numbers(reports: Iterable[Mapping[str, Any]], name: str) -> list[float]:
    """What workers wrote, where it is a number: theirs may be another version."""
    return [value for report in reports if isinstance(value := report.get(name), int | float)]


def _mean(ends: Iterable[Mapping[str, Any]], name: str) -> float | None:
    values = _numbers(ends, name)
    return round(fmean(values), 3) if values else None


def averages(snapshot: Snapshot) -> dict[str, Any]:
    """Over the last ended jobs of every model."""
    ends = [end for model in snapshot.models.values() for end in model.recent]
    names = ("total_ms", "wait_ms", "run_ms", "first_ms", "tokens_per_s")
    return {"requests": len(ends)} | {name: _mean(ends, name) for name in names}


def checks(snapshot: Snapshot, settings: GatewaySettings, *, is_store_up: bool) -> list[Check]:
    means = averages(snapshot)
    response_s = None if means["total_ms"] is None else means["total_ms"] / 1000
    reports = [worker.report for worker in snapshot.workers]
    rss_bytes = _numbers(reports, "rss_bytes")
    memory_mb = max(rss_bytes) / 1e6 if rss_bytes else None
    speed = means["tokens_per_s"]
    unserved = [model for model in snapshot.models.values() if model.waiting and not model.capacity]
    return [
        Check("store", is_store_up, None, None, "Start Redis or Valkey, or correct QUILL_REDIS_URL."),
        Check("workers", bool(reports), len(reports), 1, "Start a worker: quill worker --model NAME."),
        Check(
            "unserved_models",
            not unserved,
            len(unserved),
            0,
            "Jobs wait for a model that no worker serves: start a worker for it.",
        ),
        Check(
            "response_s",
            response_s is None or response_s <= settings.slow_response_s,
            response_s,
            settings.slow_response_s,
            "Responses are slow: add workers, or lower max_tokens.",
        ),
        Check(
            "memory_mb",
            memory_mb is None or memory_mb <= settings.high_memory_mb,
            memory_mb and round(memory_mb, 1),
            settings.high_memory_mb,
            "A worker uses much memory: lower its slots or its context, or raise the threshold.",
        ),
        Check(
            "tokens_per_s",
            speed is None or speed >= settings.low_tokens_per_s,
            speed,
            settings.low_tokens_per_s,
            "Generation is slow: fewer slots a worker, a smaller model, or a GPU.",
        ),
    ]


def health(snapshot: Snapshot, settings: GatewaySettings, *, is_store_up: bool) -> dict[str, Any]:
    made = checks(snapshot, settings, is_store_up=is_store_up)
    failing = [check for check in made if not check.is_ok]
    is_down = any(check.name in ("store", "workers") for check in failing)
    return {
        "status": "down" if is_down else "degraded" if failing else "ok",
        "checks": [check.as_json() for check in made],
        "averages": averages(snapshot),
        "recommendations": [check.advice for check in failing],
    }
