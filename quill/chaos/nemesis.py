"""Breaks things at seeded moments in two lanes: one for processes, one for the store and the ways to it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import redis

from quill.chaos.deployment import Deployment
from quill.chaos.faults import Fault, Unavailable
from quill.chaos.report import Timeline

#: Between the end of a fault and the next, on average.
_CALM_S = 1.0


@dataclass(frozen=True, slots=True)
class Blow:
    """A fault that happened; times are since the epoch."""

    name: str
    at_s: float
    ended_s: float
    #: Jobs that it cost their worker.
    orphaned: tuple[str, ...]
    #: Nobody could reach the store.
    is_outage: bool


@dataclass
class Lane(threading.Thread):
    town: Deployment
    kinds: Sequence[type[Fault]]
    seed: str
    timeline: Timeline
    ending: threading.Event
    blows: list[Blow] = field(default_factory=list)
    void: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(name=f"nemesis {self.seed}", daemon=True)
        self._dice = random.Random(self.seed)
        self._bag: list[type[Fault]] = []

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        try:
            while not self.ending.wait(self._dice.expovariate(1 / _CALM_S)):
                self._strike(self._next_kind()(self.town, self._dice))
        except Exception as error:
            # What chaos itself breaks by would otherwise look like a quiet run.
            self.defects.append(f"{type(error).__name__}: {error}")

    def _next_kind(self) -> type[Fault]:
        """Each kind once before any comes again."""
        if not self._bag:
            self._bag = self._dice.sample(list(self.kinds), len(self.kinds))
        return self._bag.pop()

    def _strike(self, fault: Fault) -> None:
        at_s = time.time()
        try:
            did = fault.begin()
        except (Unavailable, redis.RedisError) as reason:  # the other lane may have taken the store away
            self.timeline.say(f"{fault.name}: not now ({reason})")
            return
        self.timeline.say(f"{fault.name}: {did}")
        # Also when the run ends meanwhile: a fault that is cut short may not have happened.
        time.sleep(fault.last_s())
        fault.heal()
        self._note(fault, at_s, time.time())

    def _note(self, fault: Fault, at_s: float, ended_s: float) -> None:
        deadline_s = time.monotonic() + 5
        while not fault.has_happened() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        if fault.has_happened():
            self.blows.append(
                Blow(fault.name, at_s, ended_s, tuple(fault.orphaned), is_outage=fault.is_outage)
            )
        else:
            self.timeline.say(f"{fault.name}: DID NOT HAPPEN")
            self.void.append(fault.name)
