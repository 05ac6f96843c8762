"""What makes a second request the same as a first one."""

from __future__ import annotations

import pytest

from gateway.identity import identity_of
from quill.job import JobRequest

REQUEST = JobRequest(prompt="x")


@pytest.mark.parametrize(
    ("retry_count", "is_first"),
    [("0", True), ("1", False), ("10", False), ("0" * 5000, True), ("0" * 5000 + "1", False)],
)
def test_a_count_of_tries_is_read_however_it_is_written(retry_count: str, is_first: bool) -> None:
    identity = identity_of("acme", None, REQUEST, retry_count)
    assert (bool(identity.digest), identity.is_first_try) == (True, is_first)
