"""One process under supervision."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from quill.standstill import Standstill
from quill.supervision.ending import Ending

_log = structlog.get_logger(__name__)

_POLL_S = 0.05
_RESTART_FIRST_S = 0.5
_RESTART_AT_MOST_S = 30.0
#: A process that lived this long has earned a quick restart.
_STABLE_S = 30.0
#: Between two looks: the supervisor stood still, and whoever it watches surely did too.
_PAUSE_S = 10.0
#: What dies so soon after such a pause may have died of it.
_AFTER_PAUSE_S = 5.0


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

    def note_death(self, *, was_paused: bool) -> None:
        """Called once when it was found dead; of a pause of the whole machine it may have died, too."""

    def keep_alive(self, *, was_paused: bool) -> None:
        """Restarts it with exponential backoff if it has died."""
        if self.is_running:
            return
        now_s = time.monotonic()
        if self.restart_at_s is None:
            if now_s - self.started_s > _STABLE_S:
                self.pause_s = _RESTART_FIRST_S
            self.postpone()
            self.note_death(was_paused=was_paused)
        elif now_s >= self.restart_at_s:
            self.restarts += 1
            self.start()

    def postpone(self) -> None:
        """The next start is after a pause, which doubles each time."""
        self.restart_at_s = time.monotonic() + self.pause_s
        self.pause_s = min(self.pause_s * 2, _RESTART_AT_MOST_S)

    def terminate(self) -> None:
        if self.process is not None and self.is_running:
            self.process.terminate()

    def kill(self) -> None:
        """Nothing happens if it has ended by itself."""
        if self.process is not None and self.is_running:
            self.process.kill()
            self.process.wait()
            self.note_death(was_paused=False)


def watch(children: Iterable[Child], ending: Ending) -> None:
    """Keeps them alive until they shall end."""
    watched, standstill = list(children), Standstill(_PAUSE_S)
    while not ending.requests:
        time.sleep(_POLL_S)
        for child in watched:
            standstill.look()
            _look_after(child, was_paused=standstill.ago_s < _AFTER_PAUSE_S)


def _look_after(child: Child, *, was_paused: bool) -> None:
    """A machine that is short of memory or files for one of them still runs the others."""
    try:
        child.keep_alive(was_paused=was_paused)
    except Exception:
        _log.exception("could not look after a child", action="watch_failed", child=child.name)
        child.postpone()


def stop_together(children: Iterable[Child], grace_s: float, ending: Ending) -> None:
    """All have the same time to end. Whoever asks once more asks each of them once more."""
    stopped = list(children)
    deadline_s, passed_on = time.monotonic() + grace_s, -1
    while any(child.is_running for child in stopped) and time.monotonic() < deadline_s:
        if passed_on < ending.requests:
            passed_on = ending.requests
            for child in stopped:
                child.terminate()
        time.sleep(_POLL_S)
    for child in stopped:
        child.kill()
