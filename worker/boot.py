"""The worker's composition root: everything it is made of is put together here."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from celery import signals

from quill.broker import hush_root_warning
from quill.errors import QuillError, StoreUnavailable
from quill.ids import new_worker_id
from quill.log import configure
from quill.pricing import ModelFacts, control_tokens_of
from quill.settings import WorkerSettings
from quill.store.fitness import StoreUnfit, check
from quill.store.run import Store
from worker.app import Worker, create_celery
from worker.drain import Drain
from worker.engines import create_engine
from worker.engines.base import Engine, EngineInfo
from worker.flusher import Flusher
from worker.health import Health
from worker.holdings import Holdings
from worker.keeper import Keeper
from worker.runner import Backoff, Runner
from worker.stops import Stops
from worker.watchdog import Watchdog, end_with_threads

_log = structlog.get_logger(__name__)

#: Of the runner's store, the watchdog's too; with one each of the others and Celery's own a worker has eight.
_RUNNER_CONNECTIONS = 4
#: The keeper must notice a silent store long before its leases end.
_KEEPER_TIMEOUT_S = 2.0
_STORE_RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Stores:
    """A connection pool for each kind of call, so that none waits behind another's."""

    keeper: Store
    flusher: Store
    runner: Store
    stops: Store

    @classmethod
    def connect(cls, settings: WorkerSettings) -> Stores:
        return cls(
            keeper=Store.connect(settings, timeout_s=_KEEPER_TIMEOUT_S, max_connections=1),
            flusher=Store.connect(settings, max_connections=1),
            runner=Store.connect(settings, max_connections=_RUNNER_CONNECTIONS),
            stops=Store.connect(settings, max_connections=1),
        )

    def close(self) -> None:
        for store in (self.keeper, self.flusher, self.runner, self.stops):
            store.close()


def facts_of(info: EngineInfo, engine_name: str) -> ModelFacts:
    tokenizer = hashlib.sha256(info.tokenizer_json).hexdigest()[:16] if info.tokenizer_json else ""
    return ModelFacts(
        context_tokens=info.context_tokens,
        base_tokens=info.base_tokens,
        message_tokens=info.message_tokens,
        tokenizer=tokenizer,
        engine=engine_name,
        control_tokens=control_tokens_of(info.tokenizer_json) if info.tokenizer_json else (),
    )


def create_worker(
    settings: WorkerSettings, engine: Engine, info: EngineInfo, stores: Stores, worker_id: str
) -> Worker:
    model = settings.served_name
    holdings = Holdings()
    health = Health(engine, info, model=model, engine_name=settings.engine)
    keeper = Keeper(
        stores.keeper,
        holdings,
        health,
        worker_id=worker_id,
        model=model,
        slots=info.slots,
        facts=facts_of(info, settings.engine),
        tokenizer=zlib.compress(info.tokenizer_json or b"") if info.tokenizer_json else b"",
    )
    flusher = Flusher(stores.flusher, settings.flush_s, settings.result_ttl_s, holdings.stop)
    runner = Runner(
        stores.runner,
        engine,
        holdings,
        flusher,
        health,
        backoff=Backoff(settings.retry_base_s, settings.retry_pause_s),
        worker_id=worker_id,
        has_ended=keeper.has_ended,
    )
    drain = Drain(holdings, keeper, settings.drain_s)
    watchdog = Watchdog(
        stores.runner,
        engine,
        keeper,
        drain,
        worker_id=worker_id,
        slots=info.slots,
        hang_s=settings.hang_s,
        deaf_s=settings.deaf_s,
    )
    signals.worker_ready.connect(
        lambda **_: _log.info("ready", action="worker_ready", model=model, slots=info.slots), weak=False
    )
    worker = Worker(
        app=create_celery(settings, runner.run),
        pool_cls="threads",
        concurrency=info.slots,
        hostname=f"quill@{worker_id}",
        loglevel=settings.log_level.upper(),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
        attendants=(drain, keeper, flusher, Stops(stores.stops, worker_id, holdings), watchdog),
    )
    worker.on_stop_signal = drain.begin
    return worker


def end_at_once_when_told() -> None:
    """Until it serves. As process 1 of a container it would not end by a signal without a handler."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


def check_patiently(store: Store, settings: WorkerSettings) -> None:
    """Waits for a store that is away. Raises ``StoreUnfit``."""
    while True:
        try:
            return check(store, settings)
        except StoreUnavailable:
            _log.warning("the store is away", action="store_away")
            time.sleep(_STORE_RETRY_S)


def _refuse(action: str, error: QuillError) -> int:
    """Says why this worker does not start. Gives its exit status."""
    _log.error("the worker does not start", action=action, reason=error.message)
    print(f"quill worker: {error.message}", file=sys.stderr)  # noqa: T201 - the operator's line
    return 1


def boot(settings: WorkerSettings, make_engine: Callable[[WorkerSettings], Engine] = create_engine) -> int:
    """Loads the model, then serves until a signal ends it. Gives the exit status.

    ``make_engine`` is for benchmarks, which look into an engine of their own.
    """
    end_at_once_when_told()
    end_with_threads()
    configure(settings)
    hush_root_warning()
    worker_id = settings.worker_id or new_worker_id()
    structlog.contextvars.bind_contextvars(worker_id=worker_id)
    engine = make_engine(settings)
    try:
        info = engine.start()
    except QuillError as error:
        return _refuse("load_failed", error)
    _log.info("the engine is ready", action="engine_ready", plan=info.memory_plan)
    stores = Stores.connect(settings)
    try:
        check_patiently(stores.runner, settings)
        worker = create_worker(settings, engine, info, stores, worker_id)
        worker.start()
        return int(worker.exitcode or 0)
    except StoreUnfit as error:
        return _refuse("store_refused", error)
    finally:
        engine.close()
        stores.close()
