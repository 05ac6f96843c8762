"""What `quill` exports is there, says what it is, and costs no more than it must."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import quill
from tests.contract.test_boundaries import HEAVY, WEB

ROOT = Path(__file__).parents[2]


def extras_named_in(path: Path) -> set[str]:
    found = re.findall(r"quill-queue\[([\w,]+)\]", path.read_text(encoding="utf-8"))
    return {extra for listed in found for extra in listed.split(",")}


@pytest.mark.parametrize("name", quill.__all__)
def test_every_exported_name_exists_and_is_documented(name: str) -> None:
    exported = getattr(quill, name)
    assert exported.__name__ == name
    # Its own words: a docstring that is only inherited says nothing of this class.
    assert vars(exported).get("__doc__")


def test_a_name_that_is_not_exported_is_an_ordinary_mistake() -> None:
    with pytest.raises(AttributeError, match="Quueue"):
        getattr(quill, "Quueue")  # noqa: B009 - mypy would refuse the attribute


def test_using_every_exported_name_loads_no_engine_and_no_application() -> None:
    forbidden = HEAVY | WEB | {"gateway", "worker", "celery"}
    code = f"from quill import *; import sys; print(*(set(sys.modules) & {forbidden!r}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_every_extra_that_a_message_or_a_page_names_can_be_installed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        extra for path in [*ROOT.glob("*.md"), *ROOT.glob("quill/**/*.py")] for extra in extras_named_in(path)
    }
    assert {"all", "embedded", "producer"} <= named <= set(extras)
