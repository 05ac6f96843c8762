"""The states of a job and every legal edge between them; the only place where the table is written.

Dispatched, delayed, leased and overdue are fields and indexes of the store, not states.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    #: Accepted and waiting, with or without a ticket on the model's list.
    QUEUED = "queued"
    #: Claimed by one attempt that holds a lease.
    RUNNING = "running"
    #: Has a result.
    SUCCEEDED = "succeeded"
    #: Has an error.
    FAILED = "failed"
    #: Stopped at its caller's wish.
    CANCELLED = "cancelled"
    #: Its time to start, or to run, was over.
    EXPIRED = "expired"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED})

Edge = tuple[State, State]

#: Which script may walk which edge. Scripts are given the states they may leave; they never name any.
EDGES: dict[str, frozenset[Edge]] = {
    "claim": frozenset({(State.QUEUED, State.RUNNING), (State.QUEUED, State.EXPIRED)}),
    "finish": frozenset(
        {
            (State.RUNNING, State.SUCCEEDED),
            (State.RUNNING, State.FAILED),
            (State.RUNNING, State.CANCELLED),
            (State.RUNNING, State.EXPIRED),
            # The last attempt's late finish, while nobody has claimed the job since.
            (State.QUEUED, State.SUCCEEDED),
        }
    ),
    "cancel": frozenset({(State.QUEUED, State.CANCELLED), (State.RUNNING, State.CANCELLED)}),
    "bury": frozenset({(State.RUNNING, State.QUEUED), (State.RUNNING, State.FAILED)}),
    "release": frozenset({(State.RUNNING, State.QUEUED)}),
    "retry": frozenset({(State.RUNNING, State.QUEUED)}),
    "sweep": frozenset(
        {
            (State.RUNNING, State.QUEUED),  # its lease ran out
            (State.RUNNING, State.FAILED),  # ... once too often
            (State.QUEUED, State.EXPIRED),
        }
    ),
}

TRANSITIONS: frozenset[Edge] = frozenset().union(*EDGES.values())


def allowed_from(script: str, target: State) -> frozenset[State]:
    """The states that ``script`` may leave for ``target``."""
    return frozenset(origin for origin, end in EDGES[script] if end is target)
