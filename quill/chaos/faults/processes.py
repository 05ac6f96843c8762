"""Processes that die, freeze or are told to stop."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from quill.chaos import skewed
from quill.chaos.faults.base import Fault, Unavailable
from quill.chaos.parts import Part, environment_of, worker_id_of

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
        offset = self.dice.choice(["+3600s", "-3600s"])
        lies = _other_clock(offset)
        part = self.choose(self.town.worker_parts)
        part.terminate()
        part.environment = {**part.environment, **lies}
        self.town.start(part)
        part.environment = {name: value for name, value in part.environment.items() if name not in lies}
        self.was_skewed = "FAKETIME" in _begun(part.pid)
        return f"{part.name}, {offset}"

    def has_happened(self) -> bool:
        return self.was_skewed


def _other_clock(offset: str) -> dict[str, str]:
    """What faketime sets for a program. It does not run the worker itself: it forks, and whatever is done to
    the worker would be done to faketime, and leave the worker behind.

    Raises ``Unavailable``.
    """
    faketime = shutil.which("faketime")
    if not faketime:
        raise Unavailable("faketime is not installed")
    # Threads wait by the monotonic clock, which no administrator sets.
    command = [faketime, "-m", "--exclude-monotonic", "-f", offset, "env"]
    shown = subprocess.run(command, capture_output=True, check=True, text=True)
    found = dict(line.partition("=")[::2] for line in shown.stdout.splitlines())
    lies = {name: found[name] for name in ("LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC")}
    path = [str(Path(skewed.__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return lies | {"PYTHONPATH": os.pathsep.join(path)}


def _begun(pid: int) -> dict[str, str]:
    """The environment of a program, once it has begun."""
    deadline_s = time.monotonic() + 1
    while not (found := environment_of(pid)) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return found


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
