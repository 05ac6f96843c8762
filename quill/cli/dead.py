"""`quill dead`: jobs that failed, why, and what shall become of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from quill.cli.output import connected, stdout, table, url_option

if TYPE_CHECKING:
    from quill.client import Client
    from quill.job import Job


@click.command()
@click.argument("job_ids", nargs=-1, metavar="[ID]...")
@click.option("--replay", is_flag=True, help="Run the named jobs anew, or all that are shown.")
@click.option("--purge", is_flag=True, help="Forget the named jobs, or all there are.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Jobs at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@url_option
def dead(
    job_ids: tuple[str, ...], replay: bool, purge: bool, limit: int, as_json: bool, url: str | None
) -> None:
    """List dead letters (jobs that failed), replay them as new jobs, or purge them."""
    if replay and purge:
        raise click.UsageError("--replay and --purge exclude each other.")
    if job_ids and not (replay or purge):
        raise click.UsageError("Say what shall become of them: --replay or --purge.")
    with connected(url) as client:
        if purge:
            click.echo(f"{_purged(client, job_ids)} purged")
        elif replay:
            _show([client.replay(job) for job in job_ids or list(client.dead_letters(limit))], as_json)
        else:
            _show(client.dead_letters(limit), as_json, with_reason=True)


def _purged(client: Client, job_ids: tuple[str, ...]) -> int:
    if not job_ids:
        return client.purge_all()
    for job_id in job_ids:
        client.purge(job_id)
    return len(job_ids)


def _show(jobs: Iterable[Job], as_json: bool, *, with_reason: bool = False) -> None:
    found = list(jobs)
    if as_json:
        for job in found:
            click.echo(job.model_dump_json(by_alias=True))
        return
    stdout().print(table(found, with_reason=with_reason))
