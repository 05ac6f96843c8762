"""What every fault is: it begins, heals, and knows whether it really happened."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import redis

from quill.chaos.deployment import Deployment


class Unavailable(Exception):
    """This fault cannot be made on this machine, or just now."""


class Fault(ABC):
    name: ClassVar[str]
    #: Nobody reaches the store meanwhile.
    is_outage: ClassVar[bool] = False

    def __init__(self, town: Deployment, dice: random.Random) -> None:
        self.town = town
        self.dice = dice
        #: Running jobs that it cost their worker.
        self.orphaned: list[str] = []

    @abstractmethod
    def begin(self) -> str:
        """Gives what it did, in a few words. Raises ``Unavailable``."""

    def last_s(self) -> float:
        """How long it stays before it is healed."""
        return self.dice.uniform(0.5, 2.0)

    @abstractmethod
    def heal(self) -> None: ...

    @abstractmethod
    def has_happened(self) -> bool:
        """Asked after the healing."""

    @property
    def client(self) -> redis.Redis:
        return self.town.direct.client

    def held_by(self, worker_id: str) -> list[str]:
        members: Any = self.client.smembers(f"quill:held:{worker_id}")
        return [member.decode() for member in members]
