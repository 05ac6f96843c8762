"""The processes of a deployment that chaos may kill, freeze and start again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_END_S = 20.0
_POLL_S = 0.02


@dataclass
class Part:
    """One process; started again it is the same part with another pid."""

    name: str
    command: list[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, env=os.environ | dict(self.environment), stdout=out, stderr=out
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.status is None

    @property
    def status(self) -> int | None:
        """Of its end; ``None`` as long as it runs."""
        return None if self.process is None else self.process.poll()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(_END_S)

    def terminate(self) -> None:
        """Asks it to end, and sees that it does."""
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def said(self, action: str) -> list[dict[str, object]]:
        """Its log lines with this action."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.startswith("{")]
        found = []
        for line in lines:
            with suppress(ValueError):  # a line that a kill cut
                found.append(json.loads(line))
        return [entry for entry in found if entry.get("action") == action]

    def wait_for(self, action: str, within_s: float = 60.0) -> dict[str, object]:
        deadline_s = time.monotonic() + within_s
        while not (found := self.said(action)):
            if time.monotonic() > deadline_s or not self.is_running:
                raise RuntimeError(f"{self.name} did not come to `{action}`; see {self.log}")
            time.sleep(_POLL_S)
        return found[-1]


def module(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def children_of(pid: int) -> list[int]:
    """Linux only."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def environment_of(pid: int) -> dict[str, str]:
    """Empty if the process is gone, and for a moment while its program begins. Linux only."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(os.fsdecode(entry).partition("=")[::2] for entry in entries if entry)


def worker_id_of(pid: int) -> str:
    """As its supervisor, or we, have set it; empty if the process is gone."""
    return environment_of(pid).get("QUILL_WORKER_ID", "")
