"""The README's code works as it stands: each block is run, or its commands are looked up."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from quill.cli import main
from tests.processes import Fleet
from tests.valkey import ValkeyServer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Block:
    line: int
    language: str
    code: str

    @property
    def commands(self) -> list[str]:
        return [line for line in self.code.replace("\\\n", "").splitlines() if line]


def blocks(text: str) -> list[Block]:
    return [
        Block(text.count("\n", 0, found.start()) + 1, found[1], found[2]) for found in FENCED.finditer(text)
    ]


@pytest.fixture(scope="module")
def environment(
    shared_valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """A whole service, and where the README's code finds it."""
    fleet = Fleet(tmp_path_factory.mktemp("service"), shared_valkey.url)
    try:
        fleet.worker(simulated_step_s=0.001, context_tokens=64)
        fleet.start("quill.intake").wait_for("intake_ready")
        yield {
            "QUILL_URL": fleet.gateway()[1],
            "QUILL_REDIS_URL": shared_valkey.url,
            # Celery itself prefers these two to what a program says.
            "CELERY_BROKER_URL": shared_valkey.url,
            "CELERY_RESULT_BACKEND": shared_valkey.url,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
    finally:
        fleet.stop()


def output_of(command: list[str], environment: Environment) -> str:
    done = subprocess.run(
        command,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def parse(name: str, arguments: list[str]) -> None:
    """Takes the options of a command that serves until it is stopped. Raises ``UsageError``."""
    command = main.get_command(click.Context(main), name)
    assert command is not None, f"there is no `quill {name}`"
    command.make_context(name, arguments)


def try_command(command: str, environment: Environment) -> None:
    match shlex.split(command, comments=True):
        # They install everything and run this suite: too much for a test inside it.
        case ["scripts/demo" | "scripts/test" as script]:
            assert os.access(ROOT / script, os.X_OK)
        case ["pip", "install", wanted]:
            assert re.fullmatch(r"quill-queue\[\w+\]", wanted)
        case ["curl", *_] | ["quill", "submit" | "tenants" | "keys" | "acl", *_]:
            assert output_of(["bash", "-c", command], environment)
        case ["quill", name, *arguments]:
            parse(name, arguments)
        case _:
            pytest.fail(f"nobody knows how to try `{command}`")


def try_block(block: Block, environment: Environment) -> None:
    match block.language:
        case "python":
            assert output_of([sys.executable, "-c", block.code], environment)
        case "sh":
            for command in block.commands:
                try_command(command, environment)
        case _:
            pytest.fail(f"nobody knows how to try a block of {block.language or 'no language'}")


@pytest.mark.timeout(90)
@pytest.mark.parametrize("block", blocks(README), ids=lambda block: f"line {block.line}")
def test_what_the_readme_shows_works(block: Block, environment: Environment) -> None:
    try_block(block, environment)


def test_all_code_of_the_readme_is_in_blocks_that_are_tried() -> None:
    assert len(blocks(README)) * 2 == README.count("```") > 0
    prose = FENCED.sub("", README)
    assert not re.search(r"^(    |\t)", prose, re.MULTILINE), "an indented block escapes the test"


@pytest.mark.parametrize(
    "unknown", ["```ruby\nputs 1\n```", "```\nquill up\n```", "```sh\nrm -r x\n```", "```sh\nquill fly\n```"]
)
def test_a_new_kind_of_block_or_command_fails_until_it_is_accounted_for(unknown: str) -> None:
    (block,) = blocks(unknown)
    with pytest.raises((pytest.fail.Exception, AssertionError)):
        try_block(block, {})


def test_an_option_that_is_not_there_fails() -> None:
    with pytest.raises(click.UsageError):
        try_command("quill worker --modle x", {})
