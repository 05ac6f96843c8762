"""`quill submit`: a prompt, or a file of prompts, to a gateway, and the answers back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quill.cli.output import Failed, connected, say, url_option, whisper
from quill.errors import InvalidRequest, OutcomeError

if TYPE_CHECKING:
    from quill.client import Client
    from quill.job import Job, JobRequest

#: As in ``quill.job.JobClass``, whose import would cost `quill --help` a tenth of a second.
CLASSES = ("interactive", "standard", "batch")


@click.command()
@click.argument("prompt", required=False)
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Many prompts: one a line, or in a .jsonl file one request object a line.",
)
@click.option("--model", help="The served model. [default: the gateway's]")
@click.option("--max-tokens", type=click.IntRange(min=1), help="New tokens at most.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="0 always takes the likeliest token.")
@click.option("--thinking/--no-thinking", default=None, help="Whether the model reasons first.")
@click.option("--class", "job_class", type=click.Choice(CLASSES), help="How urgent it is.")
@click.option("--start-by", "start_by_s", type=float, help="Seconds until it must have started.")
@click.option("--run-timeout", "run_timeout_s", type=float, help="Seconds that its run may take.")
@click.option("--stream", is_flag=True, help="Print the answer as it grows.")
@click.option("--no-wait", is_flag=True, help="Print the job's id and end.")
@click.option("--json", "as_json", is_flag=True, help="Print jobs (or with --stream events) as JSON lines.")
@url_option
def submit(
    prompt: str | None,
    path: Path | None,
    stream: bool,
    no_wait: bool,
    as_json: bool,
    url: str | None,
    **given: Any,
) -> None:
    """Submit PROMPT and print the answer; without PROMPT, or with -, read it from stdin."""
    if path and (prompt or stream):
        raise click.UsageError("--file goes without PROMPT and without --stream.")
    if stream and no_wait:
        raise click.UsageError("--stream waits; leave out --no-wait.")
    fields = {name.replace("job_class", "class"): value for name, value in given.items() if value is not None}
    with connected(url) as client:
        if path:
            _many(client, _requests(path, fields), no_wait, as_json)
            return
        job = client.submit(_request({"prompt": _text(prompt), "stream": stream, **fields}))
        if no_wait:
            _print(job, as_json)
        elif stream:
            _follow(client, job, as_json)
        else:
            _print(client.wait(job), as_json)


def _text(prompt: str | None) -> str:
    is_piped = prompt is None or prompt == "-"
    try:
        text = sys.stdin.read().rstrip("\n") if is_piped else prompt
    except UnicodeDecodeError as error:
        raise click.UsageError("The text on stdin is not UTF-8.") from error
    if not text:
        raise click.UsageError("The prompt is empty.")
    return text


def _request(fields: dict[str, Any]) -> JobRequest:
    from quill.client.asking import parsed_request

    return parsed_request(fields)


def _requests(path: Path, fields: dict[str, Any]) -> list[JobRequest]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{path.name} is not UTF-8.") from error
    # Not splitlines(): a prompt may hold one of the other characters that it takes for a line's end.
    lines = enumerate(text.split("\n"), start=1)
    return [_from_line(path, number, line.rstrip("\r"), fields) for number, line in lines if line.strip()]


def _from_line(path: Path, number: int, line: str, fields: dict[str, Any]) -> JobRequest:
    """What the line says goes before the command's options."""
    where = f"{path.name}, line {number}"
    try:
        said = json.loads(line) if path.suffix == ".jsonl" else {"prompt": line}
        return _request({**fields, **said})
    except (TypeError, ValueError) as error:
        raise click.UsageError(f"{where}: this is not one JSON object.") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"{where}: {error.message}", faults=error.faults) from error


def _print(job: Job, as_json: bool) -> None:
    """One line of JSON, or the id of a job under way, or the answer. Raises ``OutcomeError``."""
    from quill.client import result_of
    from quill.states import TERMINAL

    if as_json:
        click.echo(job.model_dump_json(by_alias=True))
    if job.state not in TERMINAL:
        if not as_json:
            click.echo(job.id)
        return
    result = result_of(job)
    if not as_json:
        if result.reasoning:
            whisper(result.reasoning)
        say(result.text)


def _follow(client: Client, job: Job, as_json: bool) -> None:
    from quill.client import DeltaEvent, DoneEvent, RestartEvent, result_of

    for event in client.stream(job):
        if as_json:
            click.echo(_json_line(event))
        elif isinstance(event, DeltaEvent):
            if event.reasoning:
                whisper(event.reasoning, newline=False)
            say(event.text, newline=False)
        elif isinstance(event, RestartEvent):
            whisper(f"\n[attempt {event.attempt} starts again; drop the text above]")
        if isinstance(event, DoneEvent):
            if not as_json:
                say("")
            result_of(event.job)


def _json_line(event: object) -> str:
    from pydantic import TypeAdapter

    kind = type(event).__name__.removesuffix("Event").lower()
    fields = TypeAdapter(type(event)).dump_python(event, mode="json", by_alias=True)
    return json.dumps({"event": kind, **fields}, ensure_ascii=False)


def _many(client: Client, requests: list[JobRequest], no_wait: bool, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:

        def bar(title: str) -> Any:
            task = progress.add_task(title, total=len(requests))
            return lambda done, _: progress.update(task, completed=done)

        jobs = client.submit_many(requests, on_progress=bar("Submitted"))
        if not no_wait:
            jobs = client.wait_many(jobs, on_progress=bar("Finished"))
    failed = sum(not _has_been_shown(job, as_json) for job in jobs)
    if failed:
        raise Failed(f"{failed} of {len(jobs)} jobs have no result.")


def _has_been_shown(job: Job, as_json: bool) -> bool:
    """Whether the job is well; a failure is told, but does not keep the other answers back."""
    try:
        _print(job, as_json)
    except OutcomeError as error:
        whisper(error.message)
        return False
    return True
