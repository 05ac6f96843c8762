"""What `scripts/demo` shows: real jobs of every kind, their answers checked, and the worker's health."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from quill.client import Client, DeltaEvent, DoneEvent
from quill.embedded import free_port
from quill.job import Job, JobRequest
from quill.supervision.service import Service
from quill.tiny.cases import Case, check, held_out

console = Console()


@dataclass(frozen=True)
class Answered:
    kind: str
    case: Case
    job: Job

    @property
    def is_right(self) -> bool:
        return self.job.result is not None and check(self.case, self.job.result.text)

    @property
    def seconds(self) -> float:
        return (self.job.finished_at or 0) - self.job.created_at

    @property
    def run_s(self) -> float:
        return (self.job.finished_at or 0) - (self.job.started_at or 0)


def request_of(case: Case, *, stream: bool = False) -> JobRequest:
    return JobRequest(
        prompt=case.prompt, thinking=case.thinking, max_tokens=case.max_tokens, stream=stream, temperature=0
    )


def stream_one(client: Client, case: Case) -> Job:
    job = client.submit(request_of(case, stream=True))
    text = ""
    for event in client.stream(job):
        if isinstance(event, DeltaEvent):
            text += event.text
        if isinstance(event, DoneEvent):
            job = event.job
    if job.result is None or text != job.result.text:
        raise SystemExit("the stream and the result differ")
    return job


def run_jobs(client: Client, cases: list[Case]) -> list[Answered]:
    plain = [case for case in cases if not case.thinking]
    thinking = [case for case in cases if case.thinking][:10]
    kinds = {"plain": plain[:10], "thinking": thinking, "batch of many": plain[18:48]}
    answered = []
    with Progress(console=console) as progress:
        bar = progress.add_task("jobs", total=sum(map(len, kinds.values())) + 8)
        for kind, wanted in kinds.items():
            jobs = client.submit_many([request_of(case) for case in wanted])
            for case, job in zip(wanted, jobs, strict=True):
                answered.append(Answered(kind, case, client.wait(job, timeout_s=60)))
                progress.advance(bar)
        for case in plain[10:18]:
            answered.append(Answered("streaming", case, stream_one(client, case)))
            progress.advance(bar)
    return answered


def show(answered: list[Answered], client: Client) -> None:
    by_kind: dict[str, list[Answered]] = defaultdict(list)
    for one in answered:
        by_kind[one.kind].append(one)
    table = Table("kind", "jobs", "right", "latency p50 ms", "latency max ms", "tokens/s a job")
    for kind, group in by_kind.items():
        seconds = sorted(one.seconds for one in group)
        tokens = sum(one.job.result.usage.completion_tokens for one in group if one.job.result)
        table.add_row(
            kind,
            str(len(group)),
            str(sum(one.is_right for one in group)),
            f"{seconds[len(seconds) // 2] * 1000:.0f}",
            f"{seconds[-1] * 1000:.0f}",
            f"{tokens / max(sum(one.run_s for one in group), 1e-9):.0f}",
        )
    console.print(table)
    for worker in client.workers():
        report = worker["report"]
        console.print(
            f"worker {worker['id']}: {report['state']}, {report['slots']} slots, "
            f"{report['tokens_per_s']} tokens/s, {report['rss_bytes'] / 1e6:.0f} MB"
        )


def main() -> int:
    started_s = time.monotonic()
    keep = "--keep" in sys.argv[1:]
    cases = list(held_out(seed=1, count=200))
    with tempfile.TemporaryDirectory() as folder:
        service = Service("quill-tiny", "127.0.0.1", free_port(), None, Path(folder))
        with service, Client(service.url) as client:
            service.wait_ready()
            console.print(f"ready after {time.monotonic() - started_s:.1f} s")
            answered = run_jobs(client, cases)
            time.sleep(2.1)  # until the worker's next report
            show(answered, client)
            right, took_s = sum(one.is_right for one in answered), time.monotonic() - started_s
            console.print(
                f"{right} of {len(answered)} right (the built-in model errs at times), {took_s:.1f} s"
            )
            if keep:
                console.print(f"""still up; try
  curl -s '{service.url}/v1/jobs' -H 'Content-Type: application/json' -d '{{"prompt": "What is 17 + 25?"}}'
Ctrl-C stops it""")
                service.watch()
    # A model of this size is right 99 times in 100.
    return 0 if len(answered) - right <= len(answered) // 20 else 1


if __name__ == "__main__":
    raise SystemExit(main())
