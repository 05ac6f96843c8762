"""Ids sort, cannot be guessed, and a foreign id always gives the same one."""

from __future__ import annotations

import re
import time

import pytest

from quill import ids
from quill.broker import parse_ticket


def test_job_ids_sort_by_time() -> None:
    first = ids.new_job_id()
    time.sleep(0.002)
    assert first < ids.new_job_id()


def test_job_ids_have_one_shape() -> None:
    for job_id in (ids.new_job_id(), ids.derived_job_id("acme", "task")):
        assert re.fullmatch(r"job_[0-9a-hjkmnp-tv-z]{26}", job_id)


def test_two_tenants_with_one_task_id_get_two_jobs() -> None:
    assert ids.derived_job_id("acme", "7") == ids.derived_job_id("acme", "7")
    assert ids.derived_job_id("acme", "7") != ids.derived_job_id("blue", "7")


def test_a_fingerprint_depends_on_where_its_parts_end() -> None:
    assert ids.fingerprint("ab", "c") != ids.fingerprint("a", "bc")


@pytest.mark.parametrize("name", ["", "job", "job:", ":1", "job:x", "job:-1"])
def test_what_is_no_ticket_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="ticket"):
        parse_ticket(name)
