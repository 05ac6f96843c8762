"""Everything that chaos knows to break."""

from __future__ import annotations

from quill.chaos.faults.base import Fault, Unavailable
from quill.chaos.faults.link import LinkBlackholed, LinkCut, LinkDeaf, LinkReset, LinkSlow
from quill.chaos.faults.processes import (
    GatewayKilled,
    SupervisedKilled,
    WorkerFrozen,
    WorkerKilled,
    WorkerSkewed,
    WorkerTerminated,
)
from quill.chaos.faults.store import ClientsKilled, ScriptsFlushed, StoreFrozen, StoreFull, StoreKilled
from quill.chaos.faults.tickets import TicketsDoubled, TicketsForged, TicketsStolen

PROCESS_FAULTS: tuple[type[Fault], ...] = (
    WorkerKilled,
    SupervisedKilled,
    WorkerFrozen,
    WorkerTerminated,
    WorkerSkewed,
    GatewayKilled,
)
#: Of the store and the ways to it.
STORE_FAULTS: tuple[type[Fault], ...] = (
    StoreKilled,
    StoreFrozen,
    StoreFull,
    ClientsKilled,
    ScriptsFlushed,
    TicketsStolen,
    TicketsDoubled,
    TicketsForged,
    LinkSlow,
    LinkBlackholed,
    LinkDeaf,
    LinkCut,
    LinkReset,
)
ALL_FAULTS = {fault.name: fault for fault in (*PROCESS_FAULTS, *STORE_FAULTS)}

__all__ = ["ALL_FAULTS", "PROCESS_FAULTS", "STORE_FAULTS", "Fault", "Unavailable"]
