"""One run: build, load, break, heal, wait, audit."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quill.chaos.auditor import Evidence, audit, doubled, lost
from quill.chaos.deployment import MAX_RUNNING_JOBS, Deployment
from quill.chaos.faults import ALL_FAULTS, PROCESS_FAULTS, STORE_FAULTS, Fault
from quill.chaos.history import Change, Recorder
from quill.chaos.ledger import Entry, Ledger
from quill.chaos.nemesis import Blow, Lane
from quill.chaos.remains import take_stock
from quill.chaos.report import Timeline, Verdict, percentile
from quill.chaos.workload import HTTP_TENANT, Caller, Producer, resolve
from quill.job import Job
from quill.store import calls

_CALLERS = 6
_TENANTS = ("acme", "blue")
#: For the longest job, a lost lease and a busy line.
_PATIENCE_S = 60.0
_WHOLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    seconds: float
    workers: int = 2
    gateways: int = 1
    #: Names of `ALL_FAULTS`; empty for all.
    faults: tuple[str, ...] = ()

    def lanes(self) -> list[Sequence[type[Fault]]]:
        wanted = [ALL_FAULTS[name] for name in self.faults] if self.faults else list(ALL_FAULTS.values())
        lanes = [[kind for kind in lane if kind in wanted] for lane in (PROCESS_FAULTS, STORE_FAULTS)]
        return [lane for lane in lanes if lane]


def run(plan: Plan, folder: Path, timeline: Timeline) -> Verdict:
    began_s = time.monotonic()
    timeline.say(f"seed {plan.seed}, {plan.seconds:.0f} s, logs in {folder}")
    with Deployment(folder, plan.gateways, plan.workers, plan.seed) as town:
        town.wait_ready()
        recorder = Recorder(town.store_port, town.direct.keys.events)
        recorder.start()
        ledger = Ledger()
        lanes = _break_under_load(plan, town, ledger, timeline)
        _wait_until_whole(town)
        timeline.say(f"healed; {len(ledger.entries)} requests")
        stuck = resolve(ledger.entries, town.gateway_urls[0], town.store_url, time.monotonic() + _PATIENCE_S)
        blows = [blow for lane in lanes for blow in lane.blows]
        evidence = _evidence(town, ledger, recorder, blows)
    violations = audit(evidence)
    for violation in violations:
        timeline.say(f"VIOLATION {violation.invariant} {violation.job_id} {violation.detail}")
    for defect in (defect for lane in lanes for defect in lane.defects):
        timeline.say(f"CHAOS ITSELF FAILED {defect}")
    recoveries_s = _recoveries_s(blows, evidence.changes)
    return Verdict(
        seed=plan.seed,
        seconds=round(time.monotonic() - began_s, 1),
        jobs=len(evidence.jobs),
        lost=len(lost(evidence)),
        doubled=len(doubled(violations)),
        stuck=len(stuck),
        faults=len(blows),
        void=sum(len(lane.void) + len(lane.defects) for lane in lanes),
        violations=len(violations),
        recovery_p50_s=percentile(recoveries_s, 0.5),
        recovery_p99_s=percentile(recoveries_s, 0.99),
        recovery_max_s=percentile(recoveries_s, 1.0),
    )


def _break_under_load(plan: Plan, town: Deployment, ledger: Ledger, timeline: Timeline) -> list[Lane]:
    ending = threading.Event()
    load = [
        *(Caller(town.gateway_urls, ledger, f"{plan.seed}-{n}", ending) for n in range(_CALLERS)),
        *(Producer(town.store_url, ledger, name, f"{plan.seed}-{name}", ending) for name in _TENANTS),
    ]
    lanes = [
        Lane(town, kinds, f"{plan.seed}-{number}", timeline, ending)
        for number, kinds in enumerate(plan.lanes())
    ]
    for thread in (*load, *lanes):
        thread.start()
    time.sleep(plan.seconds)
    ending.set()
    for thread in (*lanes, *load):
        thread.join(_PATIENCE_S)
    return lanes


def _wait_until_whole(town: Deployment) -> None:
    deadline_s = time.monotonic() + _WHOLE_S
    while missing := town.missing():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"did not come up again after the last fault: {', '.join(missing)}")
        time.sleep(0.1)


def _evidence(town: Deployment, ledger: Ledger, recorder: Recorder, blows: Sequence[Blow]) -> Evidence:
    jobs: dict[str, Job] = {}
    for tenant in (HTTP_TENANT, *_TENANTS):
        ids = _ids([entry for entry in ledger.entries if entry.tenant == tenant])
        found = town.direct.run(calls.read(tenant, ids)) if ids else []
        jobs |= {job.id: job for job in found if job}
    # Workers that came and went are forgotten after three silent seconds; only then do capacities agree.
    time.sleep(4)
    town.direct.run(calls.sweep())
    remains = take_stock(town.direct.client, town.direct.keys.namespace)
    caps = {HTTP_TENANT: MAX_RUNNING_JOBS}
    return Evidence(ledger.entries, recorder.stop(), jobs, remains, blows, caps)


def _ids(entries: Sequence[Entry]) -> list[str]:
    return sorted({job_id for entry in entries for job_id in entry.job_ids})


def _recoveries_s(blows: Sequence[Blow], changes: Sequence[Change]) -> list[float]:
    """From each loss of a worker to the next start of each job that it ran, or to its end by other means."""
    found = []
    for blow in blows:
        at_ms = blow.at_s * 1000
        for job_id in blow.orphaned:
            later = [change.at_ms for change in changes if change.job_id == job_id and change.at_ms > at_ms]
            if later and (first := _next_start_ms(changes, job_id, at_ms)) is not None:
                found.append((first - at_ms) / 1000)
    return found


def _next_start_ms(changes: Sequence[Change], job_id: str, at_ms: float) -> int | None:
    """``None`` if it was never started again: its owner cancelled it, or its time was over."""
    return next(
        (
            change.at_ms
            for change in changes
            if change.job_id == job_id and change.state == "running" and change.at_ms > at_ms
        ),
        None,
    )
