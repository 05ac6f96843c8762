"""A closed loop: each connection asks again as soon as it is answered. It finds the peak and hides stalls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from benchmarks.connection import LOST, Connection, Target, connected

CONNECTIONS = 32
_WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Peak:
    accepted_per_s: float
    #: Other replies, by status.
    errors: Mapping[int, int]


async def peak(target: Target, seconds: float) -> Peak:
    loop = asyncio.get_running_loop()
    statuses: Counter[int] = Counter()

    def ask(connection: Connection) -> None:
        connection.send(target.request, partial(answered, connection))

    def answered(connection: Connection, status: int) -> None:
        statuses[status] += 1
        if status != LOST:
            ask(connection)

    async with connected(target.port, CONNECTIONS) as pool:
        for connection in pool:
            ask(connection)
        await asyncio.sleep(_WARM_UP_S)
        statuses.clear()
        began_s = loop.time()
        await asyncio.sleep(seconds)
        took_s, errors = loop.time() - began_s, dict(statuses)
    accepted = errors.pop(target.accepted, 0)
    return Peak(accepted / took_s, errors)
