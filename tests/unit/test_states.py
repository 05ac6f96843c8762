"""The table of states, and what scripts are told of it."""

from __future__ import annotations

import pytest

from quill.states import EDGES, TERMINAL, State, allowed_from


def test_a_script_may_leave_only_the_states_of_its_own_edges() -> None:
    assert allowed_from("claim", State.RUNNING) == {State.QUEUED}
    assert allowed_from("finish", State.SUCCEEDED) == {State.RUNNING, State.QUEUED}
    assert allowed_from("finish", State.QUEUED) == frozenset()


@pytest.mark.parametrize("script", sorted(EDGES))
def test_no_script_leaves_a_terminal_state(script: str) -> None:
    assert not {origin for origin, _ in EDGES[script]} & TERMINAL
