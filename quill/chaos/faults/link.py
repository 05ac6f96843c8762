"""The way to the store is slow, silent, one-way or cut."""

from __future__ import annotations

import time
from abc import abstractmethod

from quill.chaos.faults.base import Fault
from quill.chaos.proxy import HEALTHY, FaultProxy, Toxic

#: A process that was killed talks again after so long.
_TRAFFIC_S = 8.0


class _OnLink(Fault):
    """Of everybody on one side of the service."""

    @abstractmethod
    def toxic(self) -> Toxic: ...

    def begin(self) -> str:
        side = self.dice.choice(["gateways", "workers"])
        self.link = self.town.gateway_link if side == "gateways" else self.town.worker_link
        self.before = _marks(self.link)
        self.link.toxic = self.toxic()
        return f"{side} {self.link.toxic}"

    def last_s(self) -> float:
        return self.dice.uniform(1, 4)

    def heal(self) -> None:
        """As soon as it has met something: the other lane may have killed whoever talks over this link."""
        deadline_s = time.monotonic() + _TRAFFIC_S
        while _marks(self.link) == self.before and time.monotonic() < deadline_s:
            time.sleep(0.05)
        self.link.toxic = HEALTHY
        self.after = _marks(self.link)

    def has_happened(self) -> bool:
        return self.after > self.before


class LinkSlow(_OnLink):
    name = "link-slow"

    def toxic(self) -> Toxic:
        return Toxic(latency_s=self.dice.uniform(0.01, 0.2), jitter_s=0.1)


class LinkBlackholed(_OnLink):
    name = "link-blackholed"

    def toxic(self) -> Toxic:
        return Toxic(is_blackhole=True)


class LinkDeaf(_OnLink):
    """Requests arrive, and their replies are lost."""

    name = "link-deaf"

    def toxic(self) -> Toxic:
        return Toxic(drops_replies=True)


class LinkCut(_OnLink):
    """Connections end in place of a reply."""

    name = "link-cut"

    def toxic(self) -> Toxic:
        return Toxic(cuts_replies=True)


class LinkReset(Fault):
    name = "link-reset"

    def begin(self) -> str:
        self.count = self.town.gateway_link.reset() + self.town.worker_link.reset()
        return f"{self.count} connections"

    def heal(self) -> None:
        pass

    def has_happened(self) -> bool:
        return self.count > 0


def _marks(link: FaultProxy) -> int:
    return link.cut + link.dropped_bytes + link.delayed_bytes
