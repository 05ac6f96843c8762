"""`quill jobs`, as a person or a shell script meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import httpx2
import pytest
from click.testing import CliRunner, Result

import quill.client
from quill.cli import main
from quill.cli.output import plain
from tests.clients import Script, answer, job_json, problem, succeeded_json

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("quill.cli.jobs.time.sleep", lambda pause_s: None)
    monkeypatch.setenv("COLUMNS", "160")

    def run_before(transport: httpx2.BaseTransport, *args: str) -> Result:
        monkeypatch.setattr("quill.client.Client", partial(quill.client.sync.Client, transport=transport))
        return CliRunner().invoke(main, ["jobs", *args])

    return run_before


def page(*jobs: dict[str, object]) -> httpx2.Response:
    return answer({"object": "list", "data": jobs, "has_more": False, "next": None})


def test_jobs_are_listed_in_a_table(run: Run) -> None:
    script = Script(page(job_json(position=2), succeeded_json("job_2", attempt=1, produced_tokens=7)))
    result = run(script)
    header, first, second = (line.split() for line in result.stdout.splitlines())
    assert header == ["ID", "STATE", "CLASS", "MODEL", "ATTEMPT", "POSITION", "AGE", "TOKENS"]
    assert first[:6] == ["job_1", "queued", "standard", "m", "0", "2"]
    assert (second[0], second[1], second[-1]) == ("job_2", "succeeded", "7")
    assert script.seen[0].url.params["limit"] == "20"


def test_jobs_may_be_lines_of_json(run: Run) -> None:
    result = run(Script(page(job_json(), job_json("job_2"))), "--json", "--limit", "2")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["job_1", "job_2"]


def test_one_job_is_shown_with_its_answer(run: Run) -> None:
    result = run(Script(answer(succeeded_json(text="forty-two"))), "job_1")
    assert result.stdout.splitlines()[-1] == "forty-two"


def test_one_failed_job_is_shown_with_its_fault(run: Run) -> None:
    failed = job_json(state="failed", error={"code": "engine_error", "message": "The engine failed."})
    result = run(Script(answer(failed)), "job_1")
    assert (result.exit_code, result.stderr) == (0, "The engine failed. (engine_error)\n")


def test_a_job_can_be_cancelled(run: Run) -> None:
    script = Script(answer(job_json(state="cancelled")))
    assert "cancelled" in run(script, "--cancel", "job_1").stdout
    assert script.seen[0].method == "DELETE"


@pytest.mark.parametrize(
    ("code", "status", "exit_code"), [("job_not_cancellable", 409, 2), ("job_not_found", 404, 2)]
)
def test_a_refusal_is_one_line(run: Run, code: str, status: int, exit_code: int) -> None:
    result = run(Script(problem(code, status)), "--cancel", "job_1")
    assert (result.exit_code, result.stderr) == (exit_code, "Error: It is so.\n")


@pytest.mark.parametrize(
    "args",
    [("job_1", "--cancel", "job_2"), ("--watch", "--json"), ("--watch", "--cancel", "x"), ("--limit", "0")],
)
def test_a_wrong_use_exits_with_2_and_asks_nobody(run: Run, args: tuple[str, ...]) -> None:
    script = Script()
    assert run(script, *args).exit_code == 2
    assert script.seen == []


def test_watching_one_job_ends_with_it(run: Run) -> None:
    running = answer(job_json(state="running"))
    result = run(
        Script(answer(job_json()), running, answer(succeeded_json(text="forty-two"))), "--watch", "job_1"
    )
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "forty-two"


def test_watching_the_list_ends_with_ctrl_c(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(pause_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("quill.cli.jobs.time.sleep", interrupt)
    result = run(Script(page(job_json())), "--watch")
    assert result.exit_code == 0
    assert "job_1" in result.stdout


def test_a_model_cannot_steer_the_terminal() -> None:
    assert plain("\x1b]0;title\x07red\x1b[31m\x9b31m\tend\r\n\x7f") == "]0;titlered[31m31m\tend\n"


def test_markup_in_a_name_stays_text(run: Run) -> None:
    assert "[red]m[/nope]" in run(Script(page(job_json(model="[red]m[/nope]")))).stdout
