"""A process that stood still notices it by its own late look."""

from __future__ import annotations

import time

import pytest

from quill.standstill import Standstill


def test_a_late_look_is_the_end_of_a_standstill_and_one_in_time_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    standstill, began_s, found = Standstill(at_least_s=5), time.monotonic(), []
    for later_s in (4, 8, 14, 16):
        monkeypatch.setattr(time, "monotonic", lambda later_s=later_s: began_s + later_s)
        standstill.look()
        found.append(standstill.ago_s)
    assert found == [float("inf"), float("inf"), 0, 2]
