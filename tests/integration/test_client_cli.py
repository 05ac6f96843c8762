"""`quill submit` and `quill jobs` as real processes, against a real gateway and a simulated worker."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from quill.embedded import free_port
from tests.processes import Fleet


def quill(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from quill.cli import main; main()", *args]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)


@pytest.fixture(scope="module")
def url(lasting_fleet: Fleet, gateway_url: str) -> str:
    lasting_fleet.worker(simulated_step_s=0.001)
    return gateway_url


def test_a_prompt_is_answered_streamed_and_listed(url: str) -> None:
    answered = quill("submit", "Hello there", "--max-tokens", "5", "--url", url)
    streamed = quill("submit", "Hello there", "--max-tokens", "5", "--stream", "--url", url)
    assert (answered.returncode, streamed.returncode) == (0, 0), answered.stderr + streamed.stderr
    assert answered.stdout.strip()
    assert streamed.stdout == answered.stdout
    listed = quill("jobs", "--json", "--url", url)
    jobs = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [job["state"] for job in jobs[:2]] == ["succeeded", "succeeded"]
    assert jobs[0]["id"] in quill("jobs", jobs[0]["id"], "--url", url).stdout


def test_trouble_has_an_exit_code_and_one_line(url: str) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    for code, done in (
        (2, quill("submit", "Hello", "--model", "no/such-model", "--url", url)),
        (2, quill("jobs", "job_none", "--url", url)),
        (3, quill("jobs", "--url", away)),
    ):
        assert done.returncode == code, done.stderr
        assert done.stderr.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in done.stderr


def test_help_loads_neither_the_http_library_nor_the_table_printer() -> None:
    code = (
        "import sys\nfrom quill.cli import main\n"
        "for name in ('submit', 'jobs'):\n"
        "    main([name, '--help'], standalone_mode=False)\n"
        "assert not {'httpx2', 'rich', 'pydantic', 'redis'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
