"""A whole deployment, broken for some seconds in every way there is."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from quill.chaos.faults import ALL_FAULTS
from quill.chaos.parts import worker_id_of
from quill.chaos.report import Timeline
from quill.chaos.session import Plan, run
from quill.cli import main
from tests.processes import eventually


@pytest.mark.timeout(170)
@pytest.mark.parametrize("seed", [1, 7])
def test_nothing_is_lost_doubled_or_stuck(tmp_path: Path, seed: int) -> None:
    told: list[str] = []
    verdict = run(Plan(seed, seconds=20, gateways=2), tmp_path, Timeline(told.append))
    assert verdict.is_clean, "\n".join(told)
    assert verdict.jobs > 50
    assert verdict.faults >= 5


def running_workers() -> set[int]:
    """The processes of all workers here, whoever started them."""
    pids = (int(process.name) for process in Path("/proc").glob("[0-9]*"))
    return {pid for pid in pids if worker_id_of(pid)}


def worked_hours_off(log: Path) -> bool:
    """Whether it ran jobs to their end at another hour than this one."""
    ends = [line for line in log.read_text().splitlines() if '"action": "finish"' in line]
    times = [datetime.fromisoformat(json.loads(line)["timestamp"]) for line in ends]
    return any(abs(datetime.now(UTC) - told) > timedelta(minutes=30) for told in times)


@pytest.mark.skipif(shutil.which("faketime") is None, reason="takes the Debian package faketime")
@pytest.mark.timeout(120)
def test_a_worker_with_another_clock_is_the_very_process_that_is_killed(tmp_path: Path) -> None:
    before = running_workers()
    verdict = run(Plan(5, 12, faults=("worker-skewed", "worker-killed")), tmp_path, Timeline(print))
    assert verdict.is_clean
    assert verdict.faults >= 2
    # A supervisor's worker hears of its death and drains; nobody is left behind.
    eventually(lambda: running_workers() <= before)
    assert any(worked_hours_off(log) for log in tmp_path.glob("worker-*.log"))
    assert not any("Traceback" in log.read_text() for log in tmp_path.glob("worker-*.log"))


@pytest.mark.timeout(120)
def test_the_command_says_what_came_of_it(tmp_path: Path) -> None:
    ended = CliRunner().invoke(
        main,
        ["chaos", "--seconds", "3", "--seed", "3", "--faults", "scripts-flushed", "--logs", str(tmp_path)],
    )
    assert ended.exit_code == 0, ended.output
    verdict = json.loads(ended.stdout.splitlines()[-1])
    assert verdict["lost"] == verdict["doubled"] == verdict["stuck"] == 0
    assert verdict["faults"] >= 1
    again = CliRunner().invoke(main, ["chaos", "--seed", "2", "--seeds", "2", "--logs", str(tmp_path)])
    assert again.exit_code == 2
    assert "a run of seed 3 already" in again.output


def test_an_unknown_fault_is_refused_with_those_there_are() -> None:
    ended = CliRunner().invoke(main, ["chaos", "--faults", "meteor"])
    assert ended.exit_code == 2
    assert all(name in ended.output for name in ("meteor", *ALL_FAULTS))


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_half_an_hour_of_everything(tmp_path: Path) -> None:
    verdict = run(Plan(1, seconds=1800), tmp_path, Timeline(print))
    assert verdict.is_clean
