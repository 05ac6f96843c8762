"""`quill submit`, as a person or a shell script meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner, Result

import quill.client
from quill.cli import main
from quill.cli.submit import CLASSES
from quill.job import JobClass
from tests.clients import Script, answer, events, job_json, problem, sse, succeeded_json

Run = Callable[..., Result]
REFUSED = httpx2.ConnectError("[Errno 111] Connection refused")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `quill` before a scripted gateway; retries do not really sleep."""
    monkeypatch.setattr("quill.client.driver.time.sleep", lambda pause_s: None)

    def run_before(transport: httpx2.BaseTransport, *args: str, stdin: str = "") -> Result:
        monkeypatch.setattr("quill.client.Client", partial(quill.client.sync.Client, transport=transport))
        return CliRunner().invoke(main, args, input=stdin)

    return run_before


def body(script: Script) -> object:
    return json.loads(script.seen[0].content)


def test_the_answer_is_all_that_stdout_gets(run: Run) -> None:
    thoughtful = succeeded_json()
    thoughtful["result"]["reasoning"] = "17 + 25 is 42."
    result = run(Script(answer(job_json(), 202), answer(thoughtful)), "submit", "What is 17 + 25?")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "42\n", "17 + 25 is 42.\n")


def test_options_become_fields_and_what_was_not_said_is_left_to_the_service(run: Run) -> None:
    script = Script(answer(job_json()), answer(succeeded_json()))
    options = ("--no-thinking", "--model", "m", "--max-tokens", "5", "--temperature", "0", "--class", "batch")
    assert run(script, "submit", "Hi", *options).exit_code == 0
    assert body(script) == {
        "prompt": "Hi",
        "thinking": False,
        "model": "m",
        "max_tokens": 5,
        "temperature": 0.0,
        "class": "batch",
    }


@pytest.mark.parametrize("args", [("submit",), ("submit", "-")])
def test_a_prompt_may_come_from_stdin(run: Run, args: tuple[str, ...]) -> None:
    script = Script(answer(job_json()), answer(succeeded_json()))
    assert run(script, *args, stdin="two\nlines\n").exit_code == 0
    assert body(script) == {"prompt": "two\nlines"}


def test_the_id_is_enough_when_nobody_waits(run: Run) -> None:
    result = run(Script(answer(job_json())), "submit", "Hi", "--no-wait")
    assert (result.exit_code, result.stdout) == (0, "job_1\n")


def test_json_is_the_job_on_one_line(run: Run) -> None:
    result = run(Script(answer(job_json()), answer(succeeded_json())), "submit", "Hi", "--json")
    assert json.loads(result.stdout)["result"]["text"] == "42"
    assert json.loads(result.stdout)["class"] == "standard"


STREAM = (
    sse("status", {"id": "job_1", "state": "running", "attempt": 1, "position": None}),
    sse("delta", {"attempt": 1, "reasoning": "Hm. "}, "1.1-0"),
    sse("delta", {"attempt": 1, "text": "forty"}, "1.2-0"),
    sse("restart", {"attempt": 2}),
    sse("delta", {"attempt": 2, "text": "42"}, "2.1-0"),
    sse("done", succeeded_json()),
)


def test_a_streamed_answer_is_printed_as_it_comes(run: Run) -> None:
    script = Script(answer(job_json()), events(*STREAM))
    result = run(script, "submit", "Hi", "--stream")
    assert body(script) == {"prompt": "Hi", "stream": True}
    assert result.exit_code == 0
    assert result.stdout == "forty42\n"
    assert "Hm. " in result.stderr
    assert "attempt 2" in result.stderr


def test_streamed_events_may_be_lines_of_json(run: Run) -> None:
    result = run(Script(answer(job_json()), events(*STREAM)), "submit", "Hi", "--stream", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["status", "delta", "delta", "restart", "delta", "done"]
    assert lines[-1]["job"]["class"] == "standard"


FAILED = job_json(state="failed", error={"code": "engine_error", "message": "The engine failed."})


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_a_failed_job_exits_with_1(run: Run, args: tuple[str, ...]) -> None:
    result = run(Script(answer(job_json()), answer(FAILED)), "submit", "Hi", *args)
    assert result.exit_code == 1
    assert result.stderr == "Error: Job job_1 is failed: The engine failed. (engine_error)\n"


def test_a_failed_stream_exits_with_1(run: Run) -> None:
    result = run(Script(answer(job_json()), events(sse("done", FAILED))), "submit", "Hi", "--stream")
    assert result.exit_code == 1
    assert "engine_error" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("submit", ""),
        ("submit", "Hi", "--max-tokens", "0"),
        ("submit", "Hi", "--class", "vip"),
        ("submit", "Hi", "--stream", "--no-wait"),
        ("submit", "Hi", "--file", __file__),
        ("submit", "--stream", "--file", __file__),
        ("submit", "--file", "no-such-file"),
        ("submit", "--model", "no spaces", "Hi"),
    ],
)
def test_a_wrong_use_exits_with_2_and_asks_nobody(run: Run, args: tuple[str, ...]) -> None:
    script = Script()
    result = run(script, *args)
    assert result.exit_code == 2
    assert script.seen == []
    assert "Traceback" not in result.output


def test_a_refusal_names_the_field_and_exits_with_2(run: Run) -> None:
    refusal = {
        "code": "invalid_request",
        "detail": "Bad.",
        "errors": [{"pointer": "#/model", "detail": "odd"}],
    }
    result = run(Script(answer(refusal, 422)), "submit", "Hi")
    assert (result.exit_code, result.stderr) == (2, "Error: Bad. (model: odd)\n")


def test_a_gateway_that_is_away_exits_with_3_in_one_line(run: Run) -> None:
    result = run(Script(REFUSED, REFUSED, REFUSED), "submit", "Hi", "--url", "http://far:1")
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: The gateway at http://far:1")
    assert result.stderr.count("\n") == 1


def test_a_full_queue_exits_with_3(run: Run) -> None:
    result = run(Script(problem("queue_full", 503, retry_after="60")), "submit", "Hi")
    assert result.exit_code == 3


def test_an_address_that_is_none_is_one_line_too(run: Run) -> None:
    result = run(Script(), "submit", "Hi", "--url", "far:1")
    assert (result.exit_code, result.stderr) == (3, "Error: 'far:1' is not an http:// or https:// URL\n")


def echo(request: httpx2.Request) -> httpx2.Response:
    """A gateway whose jobs are named after their prompts and answer with them."""
    if request.method == "POST":
        asked = json.loads(request.content)
        return answer(job_json(f"job_{asked['prompt']}", metadata={"tokens": str(asked.get("max_tokens"))}))
    name = request.url.path.rpartition("job_")[2]
    return answer(FAILED | {"id": "job_bad"} if name == "bad" else succeeded_json(f"job_{name}", text=name))


def test_a_file_is_a_prompt_a_line_answered_in_its_order(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("one\n\ntwo\nthree\u2028and more\n")
    result = run(httpx2.MockTransport(echo), "submit", "--file", str(file))
    assert (result.exit_code, result.stdout) == (0, "one\ntwo\nthree\u2028and more\n")


def test_a_jsonl_file_is_a_request_a_line_on_top_of_the_options(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a", "max_tokens": 7}\n{"prompt": "b"}\n')
    result = run(
        httpx2.MockTransport(echo), "submit", "--file", str(file), "--max-tokens", "5", "--no-wait", "--json"
    )
    jobs = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(job["id"], job["metadata"]["tokens"]) for job in jobs] == [("job_a", "7"), ("job_b", "5")]


@pytest.mark.parametrize("line", ["not json", "[1]", "1", '{"prompt": 1}', '{"colour": "blue"}'])
def test_a_bad_line_of_a_file_exits_with_2_before_anything_is_submitted(
    run: Run, tmp_path: Path, line: str
) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a"}\n' + line + "\n")
    script = Script()
    result = run(script, "submit", "--file", str(file))
    assert result.exit_code == 2
    assert script.seen == []
    assert "Traceback" not in result.output
    assert "line 2" in result.stderr


def test_a_failure_in_a_file_does_not_keep_the_other_answers_back(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("one\nbad\ntwo\n")
    result = run(httpx2.MockTransport(echo), "submit", "--file", str(file))
    assert (result.exit_code, result.stdout) == (1, "one\ntwo\n")
    assert "job_bad is failed" in result.stderr
    assert "1 of 3 jobs" in result.stderr


def test_a_file_that_meets_no_gateway_exits_with_3(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("one\n")
    assert run(Script(REFUSED, REFUSED, REFUSED), "submit", "--file", str(file)).exit_code == 3


def test_the_classes_offered_are_the_classes_there_are() -> None:
    assert tuple(one.value for one in JobClass) == CLASSES
