"""A server process on a core of its own, and the CPU time that it takes. Linux only."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.connection import HOST

#: Some import for a long time before they listen.
_READY_S = 120.0


def two_cores() -> tuple[int, int]:
    """For the server, and for everything else."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("this needs two cores")
    return cores[0], cores[1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def punctual() -> Iterator[None]:
    """Ahead of the store on the core that they share, where the system lets us.

    Else a generator's turn comes up to 3 ms late, and it counts that as the server's slowness. Only for loads
    that leave much of the core: at more, it would take from the store what it measures.
    """
    policy, settings = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.sched_setscheduler(0, policy, settings)


@contextmanager
def serving(core: int, command: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[int]:
    """Gives its pid, once it listens; killed at the end."""
    with on_core(core):
        server = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(server, port)
        yield server.pid
    finally:
        server.kill()
        server.wait()


def _wait_until_it_listens(server: subprocess.Popen[bytes], port: int) -> None:
    deadline_s = time.monotonic() + _READY_S
    while True:
        try:
            socket.create_connection((HOST, port)).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline_s:
                raise SystemExit(f"nothing listens: {server.args!r}") from None
        time.sleep(0.05)


def cpu_s(pid: int) -> float:
    """Of all its threads, in user and kernel mode (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
