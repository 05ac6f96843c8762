"""`quill jobs`: what is queued, what runs, what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from quill.cli.output import connected, say, stdout, table, url_option, whisper
from quill.states import TERMINAL

if TYPE_CHECKING:
    from quill.client import Client
    from quill.job import Job

_WATCH_S = 1.0


@click.command()
@click.argument("job_id", required=False, metavar="[ID]")
@click.option("--cancel", "cancel_id", metavar="ID", help="Cancel this job.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Jobs at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--watch", is_flag=True, help="Refresh every second until Ctrl-C, or until the one job ends.")
@url_option
def jobs(
    job_id: str | None, cancel_id: str | None, limit: int, as_json: bool, watch: bool, url: str | None
) -> None:
    """List your jobs, or show the one with this ID."""
    if cancel_id and (job_id or watch):
        raise click.UsageError("--cancel goes alone.")
    if watch and as_json:
        raise click.UsageError("--watch draws a table; leave out --json.")
    with connected(url) as client:
        look = _look(client, job_id, limit)
        if cancel_id:
            _show([client.cancel(cancel_id)], as_json)
        elif watch:
            _watch(look, is_single=job_id is not None)
        else:
            _show(look(), as_json, is_single=job_id is not None)


def _look(client: Client, job_id: str | None, limit: int) -> Callable[[], list[Job]]:
    if job_id is not None:
        return lambda: [client.get(job_id)]
    return lambda: list(client.jobs(limit))


def _show(found: list[Job], as_json: bool, *, is_single: bool = False) -> None:
    if as_json:
        for job in found:
            click.echo(job.model_dump_json(by_alias=True))
        return
    stdout().print(table(found))
    for job in found if is_single else ():
        _show_outcome(job)


def _show_outcome(job: Job) -> None:
    if job.error is not None:
        whisper(f"{job.error.message} ({job.error.code})")
    if job.result is not None:
        if job.result.reasoning:
            whisper(job.result.reasoning)
        say(job.result.text)


def _watch(look: Callable[[], list[Job]], *, is_single: bool) -> None:
    from rich.live import Live

    found, console = look(), stdout()
    try:
        with Live(table(found), console=console, auto_refresh=False) as live:
            while not (is_single and found[0].state in TERMINAL):
                time.sleep(_WATCH_S)
                found = look()
                live.update(table(found), refresh=True)
    except KeyboardInterrupt:
        return
    if not console.is_terminal:
        # Live ends the last line on a terminal only.
        console.line()
    _show_outcome(found[0])
