"""Processes that die, freeze or are told to stop."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from quill.chaos.faults.base import Fault, Unavailable
from quill.chaos.parts import Part, worker_id_of

#: Longer than a lease, so that a frozen worker wakes up as a zombie.
_FROZEN_S = 10.0


def freeze(pid: int) -> bool:
    """Whether it really stands still; as proc(5) says."""
    os.kill(pid, signal.SIGSTOP)
    deadline_s = time.monotonic() + 1
    while time.monotonic() < deadline_s:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return True
    return False


class OnPart(Fault):
    """Of one process that is up."""

    part: Part

    def choose(self, parts: list[Part]) -> Part:
        running = [part for part in parts if part.is_running]
        if not running:
            raise Unavailable
        self.part = self.dice.choice(running)
        self.first_pid = self.part.pid
        return self.part

    def heal(self) -> None:
        if not self.part.is_running:
            self.town.start(self.part)

    def has_happened(self) -> bool:
        return self.part.pid != self.first_pid


class WorkerKilled(OnPart):
    name = "worker-killed"

    def begin(self) -> str:
        part = self.choose(self.town.worker_parts)
        self.orphaned = self.held_by(part.environment["QUILL_WORKER_ID"])
        part.kill()
        return f"{part.name}, {len(self.orphaned)} jobs aboard"


class WorkerTerminated(OnPart):
    name = "worker-terminated"

    def begin(self) -> str:
        part = self.choose(self.town.worker_parts)
        part.terminate()
        return part.name


class WorkerSkewed(OnPart):
    """Its wall clock is an hour off until its next start."""

    name = "worker-skewed"

    def begin(self) -> str:
        faketime = shutil.which("faketime")
        if not faketime:
            raise Unavailable("faketime is not installed")
        part = self.choose(self.town.worker_parts)
        part.terminate()
        honest = part.command
        part.command = [faketime, "-f", self.dice.choice(["+3600s", "-3600s"]), *honest]
        self.town.start(part)
        part.command = honest
        return part.name


class GatewayKilled(OnPart):
    name = "gateway-killed"

    def begin(self) -> str:
        part = self.choose(self.town.gateway_parts)
        part.kill()
        return part.name

    def last_s(self) -> float:
        return self.dice.uniform(0.1, 0.5)


class SupervisedKilled(Fault):
    """Its supervisor has to notice and to start another."""

    name = "supervised-killed"

    def begin(self) -> str:
        pid = self.town.supervised_pid()
        if pid is None:
            raise Unavailable
        self.pid = pid
        self.orphaned = self.held_by(worker_id_of(pid))
        os.kill(pid, signal.SIGKILL)
        return f"pid {pid}, {len(self.orphaned)} jobs aboard"

    def heal(self) -> None:
        pass

    def has_happened(self) -> bool:
        return self.town.supervised_pid() != self.pid


class WorkerFrozen(Fault):
    """Past the end of its leases; then it wakes up and writes."""

    name = "worker-frozen"

    def begin(self) -> str:
        pids = self.town.worker_pids()
        if not pids:
            raise Unavailable
        self.pid = self.dice.choice(pids)
        self.orphaned = self.held_by(worker_id_of(self.pid))
        self.was_frozen = freeze(self.pid)
        return f"pid {self.pid}, {len(self.orphaned)} jobs aboard"

    def last_s(self) -> float:
        return _FROZEN_S

    def heal(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def has_happened(self) -> bool:
        return self.was_frozen
