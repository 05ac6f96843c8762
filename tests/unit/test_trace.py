"""A trace goes on through whatever a request causes."""

from __future__ import annotations

import pytest

from quill.trace import Trace

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_step_keeps_the_trace_and_is_a_span_of_its_own() -> None:
    step = Trace.after(PARENT)
    assert (step.trace_id, step.flags) == ("4bf92f3577b34da6a3ce929d0e0e4736", "01")
    assert step.span_id != "00f067aa0ba902b7"
    assert Trace.after(step.traceparent).trace_id == step.trace_id


def test_a_later_version_with_more_fields_is_understood() -> None:
    assert Trace.after("01" + PARENT[2:] + "-more").trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "x",
        "ff" + PARENT[2:],
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        PARENT.upper(),
    ],
)
def test_what_is_no_trace_begins_one(traceparent: str) -> None:
    step = Trace.after(traceparent)
    assert len(step.trace_id) == 32
    assert step.trace_id not in PARENT
