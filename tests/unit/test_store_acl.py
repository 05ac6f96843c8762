"""The store's users have what their part calls, and who only measures reads nothing that callers wrote."""

from __future__ import annotations

from pathlib import Path

import quill.store
from quill.store.acl import ROLES, rules

LUA = Path(quill.store.__file__).parent / "lua"


def test_every_script_belongs_to_somebody() -> None:
    scripts = {path.stem for path in LUA.glob("[a-z]*.lua")}
    assert {name for role in ROLES.values() for name in role.scripts} == scripts


def test_who_measures_runs_no_script_and_writes_nothing() -> None:
    words = rules("metrics", "quill")
    assert not {"+eval", "+evalsha", "+set", "+del", "+flushall", "+keys"} & set(words)
    assert all(word.startswith("%R~quill:") for word in words if "~" in word)
