"""A worker's keeper while the store is away."""

from __future__ import annotations

import threading

from quill.embedded import free_port
from quill.settings import Settings
from quill.store.run import Store
from tests.integration.jobs import FACTS, MODEL
from worker.engines.simulated import SimulatedEngine
from worker.health import Health
from worker.holdings import Holdings
from worker.keeper import Keeper


def test_a_worker_that_waits_for_the_store_at_its_start_can_be_told_to_stop() -> None:
    engine = SimulatedEngine()
    store = Store.connect(Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"), timeout_s=0.5)
    health = Health(engine, engine.start(), model=MODEL, engine_name="simulated")
    keeper = Keeper(
        store, Holdings(), health, worker_id="w", model=MODEL, slots=1, facts=FACTS, tokenizer=b""
    )
    starting = threading.Thread(target=keeper.start)
    starting.start()
    starting.join(1)
    assert starting.is_alive()
    keeper.drain()
    starting.join(5)
    assert not starting.is_alive()
    keeper.stop()
    engine.close()
    store.close()
