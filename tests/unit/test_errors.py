"""One tree of errors, one mapping of refusals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import quill.errors
from quill.errors import BY_CODE, QuillError
from quill.store.call import Call, script
from quill.store.refusals import BY_REFUSAL

PACKAGE = "quill.errors."
LUA = Path(quill.errors.__file__).parent.parent / "store" / "lua"


def ours() -> list[type[QuillError]]:
    return [cls for cls in BY_CODE.values() if cls.__module__.startswith(PACKAGE)]


def test_every_error_has_a_code_of_its_own() -> None:
    def names(base: type[QuillError]) -> set[str]:
        below = (names(child) for child in base.__subclasses__() if child.__module__.startswith(PACKAGE))
        return {base.__name__}.union(*below)

    assert {cls.__name__ for cls in ours()} == names(QuillError)


def test_the_tree_at_the_top_of_the_package_names_every_error() -> None:
    drawn = set(re.findall(r"[A-Z]\w+(?:Error|[a-z])\b", quill.errors.__doc__ or ""))
    assert {cls.__name__ for cls in ours()} <= drawn


@pytest.mark.parametrize("error", [BY_CODE[code] for code in sorted(BY_CODE)])
def test_every_error_says_what_to_do(error: type[QuillError]) -> None:
    assert len(error().message) > 15
    assert 400 <= error.status < 600


def test_every_refusal_of_every_script_is_an_error() -> None:
    refusals = set()
    for path in LUA.glob("[a-z]*.lua"):
        gives = next(line for line in path.read_text().splitlines() if line.startswith("-- GIVES"))
        refusals |= set(re.findall(r"\{([A-Z]+)", gives))
    assert refusals - {"OK", "REPLAY"} == set(BY_REFUSAL)


@pytest.mark.parametrize("refusal", sorted(BY_REFUSAL))
def test_a_refusal_is_raised(refusal: str) -> None:
    call = Call("sweep", (), lambda code, reply: None)
    with pytest.raises(BY_REFUSAL[refusal]):
        call.answer([refusal.encode()])


@pytest.mark.parametrize("name", sorted(path.stem for path in LUA.glob("[a-z]*.lua")))
def test_every_script_has_a_header_that_says_what_it_is(name: str) -> None:
    lines = (LUA / f"{name}.lua").read_text().splitlines()
    assert lines[0].startswith("#!lua")
    assert lines[1].startswith(f"-- {name}: ")
    words = [line.split()[1] for line in lines if re.match(r"-- [A-Z]+\b", line)]
    assert [word for word in words if word in ("USES", "KEYS", "ARGV", "GIVES")] == [
        "USES",
        "KEYS",
        "ARGV",
        "GIVES",
    ]
    assert script(name).text.startswith("#!lua")
