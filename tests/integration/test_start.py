"""What an operator sees when a worker or an intake starts: their own log, and nothing of Celery's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest
from celery.exceptions import SecurityError, SecurityWarning
from celery.platforms import check_privileges

import quill.intake.app
import worker.app
from quill.broker import hush_root_warning
from quill.settings import IntakeSettings, WorkerSettings
from tests.processes import Fleet, Process

CONFIGS = [quill.intake.app.celery_config(IntakeSettings()), worker.app.celery_config(WorkerSettings())]


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.delenv("C_FORCE_ROOT", raising=False)


def unstructured(process: Process) -> list[str]:
    return [line for line in process.log.read_text().splitlines() if not line.startswith("{")]


@pytest.mark.timeout(60)
def test_a_start_says_nothing_but_structured_lines(fleet: Fleet) -> None:
    serving = fleet.worker()
    intake = fleet.start("quill.intake")
    intake.wait_for("intake_ready")
    assert unstructured(serving) == []
    assert unstructured(intake) == []


@pytest.mark.usefixtures("as_root")
def test_celery_would_warn_whoever_runs_as_root() -> None:
    with pytest.warns(SecurityWarning, match="superuser"):
        check_privileges(["json"])


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("config", CONFIGS, ids=["intake", "worker"])
def test_root_is_not_warned_of_pickles_that_nobody_reads(config: Mapping[str, Any]) -> None:
    hush_root_warning()
    check_privileges(config["accept_content"])


@pytest.mark.usefixtures("as_root")
def test_pickle_as_root_is_refused_all_the_same() -> None:
    hush_root_warning()
    with pytest.raises(SecurityError):
        check_privileges(["json", "pickle"])
