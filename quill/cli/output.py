"""How commands speak: one line an error, one exit code a kind of trouble, text that steers no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from quill.errors import QuillError, RateLimited, RequestError, Unavailable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from quill.client import Client
    from quill.job import Job

#: A person waits at the prompt: fewer tries than a program makes.
_MAX_RETRIES = 2

#: Control characters but tab and newline: model output could move the cursor or set the window's title.
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}

_COLOURS = {
    "queued": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
    "expired": "magenta",
}

url_option = click.option("--url", envvar="QUILL_URL", help="The gateway. [default: http://127.0.0.1:8000]")


class Failed(click.ClickException):
    """A job has no result. Click prints it as one line and exits with its code."""

    exit_code = 1


class Refused(click.ClickException):
    """The request is wrong, as a usage error is."""

    exit_code = 2


class OutOfService(click.ClickException):
    """The gateway is away, or cannot take the request now."""

    exit_code = 3


@contextmanager
def reported() -> Iterator[None]:
    """Errors end the command in one line, without a traceback."""
    try:
        yield
    except (QuillError, TimeoutError) as error:
        raise _trouble(error)(_line(error)) from error


@contextmanager
def connected(url: str | None) -> Iterator[Client]:
    """A client whose errors are reported."""
    from quill.client import Client

    with reported(), Client(url, max_retries=_MAX_RETRIES) as client:
        yield client


def _line(error: QuillError | TimeoutError) -> str:
    faults = error.faults if isinstance(error, QuillError) else ()
    where = "; ".join(
        f"{fault.pointer.removeprefix('#').removeprefix('/') or 'request'}: {fault.detail}"
        for fault in faults
    )
    return plain(f"{error} ({where})" if where else str(error))


def _trouble(error: BaseException | None) -> type[click.ClickException]:
    from quill.client import BatchIncomplete

    match error:
        case Unavailable() | RateLimited():
            return OutOfService
        case RequestError():
            return Refused
        case BatchIncomplete():
            return _trouble(error.__cause__)
        case _:
            return Failed


def plain(text: str) -> str:
    return text.translate(_CONTROLS)


def say(text: str, *, newline: bool = True) -> None:
    """An answer's text on stdout: as it is for a program, without control characters for a terminal."""
    click.echo(plain(text) if sys.stdout.isatty() else text, nl=newline)


def whisper(text: str, *, newline: bool = True) -> None:
    """What is not the answer, dimmed on stderr."""
    click.secho(plain(text), dim=True, err=True, nl=newline)


def stdout() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"


def table(jobs: list[Job], *, with_reason: bool = False) -> Table:
    from rich.table import Table
    from rich.text import Text

    found = Table(box=None, pad_edge=False)
    for name in ("ID", "STATE", "CLASS", "MODEL"):
        found.add_column(name, no_wrap=name == "ID")
    for name in ("ATTEMPT", "POSITION", "AGE", "TOKENS"):
        found.add_column(name, justify="right")
    if with_reason:
        found.add_column("REASON")
    now_s = time.time()
    for job in jobs:
        found.add_row(
            job.id,
            Text(job.state, style=_COLOURS[job.state]),
            job.job_class,
            Text(plain(job.model)),
            str(job.attempt),
            "" if job.position is None else str(job.position),
            _age(now_s - job.created_at),
            str(job.produced_tokens),
            *([plain(job.error.code if job.error else "")] if with_reason else []),
        )
    return found
