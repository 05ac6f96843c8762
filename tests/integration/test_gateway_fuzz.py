"""What strangers send: naughty strings in every place, and everything that our own OpenAPI allows or forbids.

`tests/data/blns.json` is the Big List of Naughty Strings (github.com/minimaxir/big-list-of-naughty-strings,
MIT).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from quill.store.run import Store
from tests.processes import Fleet

NAUGHTY: list[str] = json.loads((Path(__file__).parent.parent / "data" / "blns.json").read_text())


@pytest.fixture
def http(fleet: Fleet, store: Store) -> Iterator[httpx2.Client]:
    _, url = fleet.gateway(max_wait_s=0.5)
    with httpx2.Client(base_url=url, timeout=10) as client:
        yield client


def test_naughty_strings_are_accepted_or_refused_in_every_place(http: httpx2.Client) -> None:
    accepted = 0
    for text in NAUGHTY:
        bodies = [
            {"prompt": text},
            {"messages": [{"role": "user", "content": text}], "stop": [text]},
            {"prompt": "x", "model": text},
            {"prompt": "x", "metadata": {text: text}},
            {"prompt": "x", "preset": {"name": text, "parameters": {text: text}}},
            {text: text},
        ]
        for body in bodies:
            reply = http.post("/v1/jobs", json=body)
            assert reply.status_code in (202, 404, 422), (body, reply.text)
            accepted += reply.status_code == 202
        header = text.encode("utf-8", "replace").replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
        reply = http.post("/v1/jobs", json={"prompt": "x"}, headers=[(b"idempotency-key", header.strip())])
        assert reply.status_code in (200, 202, 400, 422), (text, reply.text)
    assert accepted > 2 * len(NAUGHTY)


def test_a_text_that_was_cleaned_is_not_changed_again(http: httpx2.Client, store: Store) -> None:
    """As it is stored, so as a model would see it."""
    for text in NAUGHTY:
        prompts: list[str] = []
        for given in (text, None):
            reply = http.post("/v1/jobs", json={"prompt": given if given is not None else prompts[0]})
            assert reply.status_code == 202
            stored = store.client.get(f"{store.keys.namespace}:request:{reply.json()['id']}")
            assert isinstance(stored, bytes)
            prompts.append(json.loads(stored)["prompt"])
        assert prompts[0] == prompts[1]


@pytest.mark.timeout(120)
def test_no_request_that_the_openapi_knows_breaks_the_gateway(
    fleet: Fleet, store: Store, tmp_path: Path
) -> None:
    gateway, url = fleet.gateway(max_wait_s=0.5)
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--no-color"),
            *("--checks", "not_a_server_error", "--phases", "coverage,fuzzing", "--max-examples", "15"),
            *("--request-timeout", "10", "--seed", "1"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout
    assert "passed" in found.stdout
    assert gateway.is_running
    assert not gateway.said("internal_error")
