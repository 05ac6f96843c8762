"""What a failed fetch says of itself."""

from __future__ import annotations

import re

import pytest

from gateway.fetch import errors
from gateway.fetch.errors import FetchError, FetchFailed, Reason, UnsafeTarget
from quill.errors import BY_CODE


def test_the_tree_at_the_top_of_the_module_names_every_error_and_its_status() -> None:
    drawn = dict(re.findall(r"── (\w+) +(\d+)", errors.__doc__ or ""))
    assert drawn == {cls.__name__: str(cls.status) for cls in FetchError.__subclasses__()}


@pytest.mark.parametrize("error", [FetchError, UnsafeTarget, FetchFailed])
def test_no_other_error_has_its_code(error: type[FetchError]) -> None:
    assert BY_CODE.get(error.code, error) is error


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_what_to_look_at(reason: Reason) -> None:
    failed = FetchFailed(reason)
    assert failed.reason is reason
    assert len(failed.message) > 30
