"""Processes under supervision: what dies, what cannot start, and who stood still."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from quill.supervision import child as child_module
from quill.supervision.child import Child, stop_together, watch
from quill.supervision.ending import Ending
from tests.processes import eventually

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


class Stubborn(Child):
    """Counts how often it is told to stop, in a file, and ends at the second time."""

    def __init__(self, told: Path) -> None:
        script = f"""
import pathlib, signal, sys, time
times = 0
def stop(*_):
    global times
    times += 1
    pathlib.Path({str(told)!r}).write_text(str(times))
    if times == 2: sys.exit(0)
signal.signal(signal.SIGTERM, stop)
pathlib.Path({str(told)!r}).write_text("0")
time.sleep(60)
time.sleep(60)
"""
        super().__init__("stubborn", [sys.executable, "-c", script], os.environ)


class Unlucky(Child):
    """Cannot be started: the machine has no memory for it."""

    starts = 0

    def start(self) -> None:
        self.starts += 1
        raise OSError("out of memory")


def watched(*children: Child) -> tuple[Ending, threading.Thread]:
    ending = Ending()
    thread = threading.Thread(target=watch, args=(children, ending))
    thread.start()
    return ending, thread


def test_one_that_cannot_be_started_costs_the_others_nothing_and_is_tried_with_pauses() -> None:
    sleeper, unlucky = Child("sleeper", SLEEPER, os.environ), Unlucky("unlucky", SLEEPER, os.environ)
    sleeper.start()
    ending, thread = watched(unlucky, sleeper)
    eventually(lambda: unlucky.starts == 2)
    assert sleeper.process is not None
    sleeper.process.kill()
    eventually(lambda: sleeper.restarts == 1)
    assert thread.is_alive()
    assert unlucky.starts <= 3
    ending.request()
    thread.join()
    sleeper.kill()


def test_who_is_told_twice_to_stop_tells_its_children_twice(tmp_path: Path) -> None:
    told, ending = tmp_path / "told", Ending()
    child = Stubborn(told)
    child.start()
    eventually(told.exists)
    ending.request()
    stopping = threading.Thread(target=stop_together, args=([child], 30, ending))
    stopping.start()
    eventually(lambda: told.read_text() == "1")
    ending.request()
    stopping.join(5)
    assert not child.is_running
    assert told.read_text() == "2"


def test_who_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    child = Stubborn(tmp_path / "told")
    child.start()
    eventually((tmp_path / "told").exists)
    stop_together([child], 0.2, Ending())
    assert not child.is_running


class Mortal(Child):
    """Keeps what was said of its deaths."""

    def __init__(self) -> None:
        super().__init__("mortal", SLEEPER, os.environ)
        self.deaths: list[bool] = []

    def note_death(self, *, was_paused: bool) -> None:
        self.deaths.append(was_paused)

    def die(self) -> None:
        assert self.process is not None
        self.process.kill()


class Slow(Child):
    """Once holds up whoever looks after it."""

    holds_up = False

    def keep_alive(self, *, was_paused: bool) -> None:
        if self.holds_up:
            self.holds_up = False
            time.sleep(0.6)


def test_a_death_during_a_pause_of_the_watcher_is_known_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "_PAUSE_S", 0.3)
    mortal, slow = Mortal(), Slow("slow", SLEEPER, os.environ)
    mortal.start()
    ending, thread = watched(slow, mortal)
    mortal.die()
    eventually(lambda: mortal.deaths == [False])
    eventually(lambda: mortal.restarts == 1)
    slow.holds_up = True
    eventually(lambda: not slow.holds_up)
    mortal.die()
    eventually(lambda: len(mortal.deaths) == 2)
    ending.request()
    thread.join()
    mortal.kill()
    assert mortal.deaths[:2] == [False, True]
