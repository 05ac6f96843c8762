"""One process under supervision."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_POLL_S = 0.05
_RESTART_FIRST_S = 0.5
_RESTART_AT_MOST_S = 30.0
#: A process that lived this long has earned a quick restart.
_STABLE_S = 30.0


@dataclass(slots=True)
class Child:
    name: str
    command: list[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    pause_s: float = _RESTART_FIRST_S
    restart_at_s: float | None = None
    restarts: int = 0

    def start(self) -> None:
        # Out of the terminal's group: Ctrl-C reaches the supervisor, which stops the parts in order.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "quill.supervision.leash", str(os.getpid()), *self.command],
            env=dict(self.environment),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        self.started_s = time.monotonic()
        self.restart_at_s = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def note_death(self) -> None:
        """Called once when it was found dead."""

    def keep_alive(self) -> None:
        """Restarts it with exponential backoff if it has died."""
        now_s = time.monotonic()
        if self.is_running:
            return
        if self.restart_at_s is None:
            if now_s - self.started_s > _STABLE_S:
                self.pause_s = _RESTART_FIRST_S
            self.restart_at_s = now_s + self.pause_s
            self.pause_s = min(self.pause_s * 2, _RESTART_AT_MOST_S)
            self.note_death()
        elif now_s >= self.restart_at_s:
            self.restarts += 1
            self.start()

    def terminate(self) -> None:
        if self.process is not None and self.is_running:
            self.process.terminate()

    def wait(self, grace_s: float) -> None:
        """Kills it if it has not ended in time."""
        if self.process is None:
            return
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def watch(children: Iterable[Child], ending: threading.Event) -> None:
    """Keeps them alive until ``ending`` is set."""
    watched = list(children)
    while not ending.wait(_POLL_S):
        for child in watched:
            child.keep_alive()


def stop_together(children: Iterable[Child], grace_s: float) -> None:
    """All have the same time to end."""
    stopped = list(children)
    for child in stopped:
        child.terminate()
    deadline_s = time.monotonic() + grace_s
    for child in stopped:
        child.wait(max(deadline_s - time.monotonic(), 0))
