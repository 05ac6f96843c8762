"""`quill chaos`: breaks a whole deployment on this machine, and counts what it lost."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Of faults.")
@click.option("--seed", type=int, default=1, show_default=True, help="The first one.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="One run each.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=2, show_default=True, help="And a supervised one."
)
@click.option("--gateways", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--faults", help="Only these, by name, with commas between. [default: all]")
@click.option("--logs", type=click.Path(path_type=Path, file_okay=False), help="Keep all logs here.")
def chaos(
    seconds: float, seed: int, seeds: int, workers: int, gateways: int, faults: str | None, logs: Path | None
) -> None:
    """Run a deployment under load, break it at seeded moments, and audit what became of every job.

    The last line is one JSON object. Ends with 1 if a job was lost, doubled or stuck, or an invariant broken.
    """
    from quill.chaos.faults import ALL_FAULTS
    from quill.chaos.report import Timeline, summed
    from quill.chaos.session import Plan, run

    names = tuple(faults.split(",")) if faults else ()
    if unknown := [name for name in names if name not in ALL_FAULTS]:
        raise click.UsageError(f"no such fault: {', '.join(unknown)}; there are {', '.join(ALL_FAULTS)}")
    numbers = range(seed, seed + seeds)
    if used := [number for number in numbers if logs and (logs / str(number)).exists()]:
        raise click.UsageError(f"{logs} has a run of seed {used[0]} already, whose store would be taken up.")
    verdicts = []
    for number in numbers:
        with tempfile.TemporaryDirectory(prefix="quill-chaos-") as folder:
            kept = (logs or Path(folder)) / str(number)
            plan = Plan(number, seconds, workers, gateways, names)
            verdicts.append(run(plan, kept, Timeline(lambda line: click.echo(line, err=True))))
        click.echo(verdicts[-1].as_json())
    if seeds > 1:
        click.echo(json.dumps(summed(verdicts)))
    if not all(verdict.is_clean for verdict in verdicts):
        raise SystemExit(1)
