"""Tickets that are stolen, doubled or forged."""

from __future__ import annotations

import time
from typing import Any

from quill.chaos.faults.base import Fault, Unavailable


class _OnTickets(Fault):
    """Somebody else at the list of tickets."""

    count = 0

    @property
    def tickets(self) -> str:
        return self.town.direct.keys.ticket_list("quill-tiny")

    def take(self, at_most: int) -> list[bytes]:
        """Competes with the workers for a while."""
        taken: list[bytes] = []
        deadline_s = time.monotonic() + 5
        while len(taken) < at_most and time.monotonic() < deadline_s:
            found: Any = self.client.brpop([self.tickets], timeout=1)
            if found:
                taken.append(found[1])
        if not taken:
            raise Unavailable("no ticket came by")
        return taken

    def heal(self) -> None:
        pass

    def has_happened(self) -> bool:
        return self.count > 0


class TicketsStolen(_OnTickets):
    name = "tickets-stolen"

    def begin(self) -> str:
        self.count = len(self.take(3))
        return f"{self.count} tickets"


class TicketsDoubled(_OnTickets):
    name = "tickets-doubled"

    def begin(self) -> str:
        copies = self.take(1) * 5
        self.client.lpush(self.tickets, *copies)
        self.count = len(copies)
        return f"{self.count} copies"


class TicketsForged(_OnTickets):
    name = "tickets-forged"

    def begin(self) -> str:
        garbage: list[bytes] = [
            self.dice.randbytes(50),
            b"[" * 50_000,
            b"{}",
            b'{"headers": {"task": "quill.run", "id": "job_x:1"}, "properties": {}, "body": 7}',
            b'{"headers": {"task": "os.system", "id": "job_x:1"}, "properties": {}, "body": ""}',
        ]
        self.client.lpush(self.tickets, *garbage)
        self.count = len(garbage)
        return f"{self.count} entries"
