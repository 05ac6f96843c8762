"""The generator of the gateway's benchmark, before real sockets that answer late or never."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import pytest

from benchmarks.closed_loop import peak
from benchmarks.connection import LOST, Target, run
from benchmarks.open_loop import Sample, offer, percentile, poisson, summary
from benchmarks.overload import recovery_s

# A run begins with a collection of garbage, which finds what any test before has left: no fault of the run.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

STALL_S = 0.5
REPLY = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def server(serve: Callable[[socket.socket, int], None]) -> Iterator[Target]:
    """Each connection has a thread, which gets the size of a request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = Target.of(listener.getsockname()[1], "/", {"prompt": "Hi"}, {"X-Key": "1"}, accepted=202)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=attend, args=(connection,)).start()

        def attend(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                serve(connection, len(target.request))

        threading.Thread(target=accept).start()
        yield target
        listener.shutdown(socket.SHUT_RDWR)


def requests(connection: socket.socket, size_bytes: int) -> Iterator[bytes]:
    """One after another, also those that came together."""
    came = b""
    while True:
        while len(came) >= size_bytes:
            yield came[:size_bytes]
            came = came[size_bytes:]
        more = connection.recv(65_536)
        if not more:
            return
        came += more


def answer(connection: socket.socket, size_bytes: int) -> None:
    for _ in requests(connection, size_bytes):
        connection.sendall(REPLY)


def answer_after_a_stall(connection: socket.socket, size_bytes: int) -> None:
    for number, _ in enumerate(requests(connection, size_bytes)):
        if number == 0:
            time.sleep(STALL_S)
        connection.sendall(REPLY)


def hang_up(connection: socket.socket, size_bytes: int) -> None:
    next(requests(connection, size_bytes), None)


def test_a_stall_is_felt_by_every_request_that_was_due_meanwhile() -> None:
    with server(answer_after_a_stall) as target:
        samples = run(offer(target, [number / 100 for number in range(100)], connections=4))
    assert [sample.status for sample in samples] == [202] * 100
    for sample in samples:
        assert sample.latency_s >= STALL_S - sample.due_s
    assert summary(samples, 202).p99_ms >= STALL_S * 1000


def test_requests_leave_though_nothing_is_answered() -> None:
    all_came = threading.Barrier(20)

    def answer_when_all_came(connection: socket.socket, size_bytes: int) -> None:
        for _ in requests(connection, size_bytes):
            all_came.wait(10)
            connection.sendall(REPLY)

    with server(answer_when_all_came) as target:
        samples = run(offer(target, [0.0] * 20, connections=20))
    assert [sample.status for sample in samples] == [202] * 20


def test_a_connection_that_was_lost_takes_no_further_request() -> None:
    answers_left = threading.BoundedSemaphore(1)

    def answer_all_or_hang_up(connection: socket.socket, size_bytes: int) -> None:
        if answers_left.acquire(blocking=False):
            answer(connection, size_bytes)
        else:
            hang_up(connection, size_bytes)

    with server(answer_all_or_hang_up) as target:
        samples = run(offer(target, [number / 50 for number in range(20)], connections=2))
    assert sorted(sample.status for sample in samples) == [LOST] + [202] * 19


def test_what_a_server_hangs_up_on_is_an_error_and_no_latency() -> None:
    with server(hang_up) as target:
        found = summary(run(offer(target, [0.0, 0.2, 0.4], connections=1)), 202)
    assert (found.accepted, found.errors) == (0, {LOST: 3})
    assert found.p50_ms == float("inf")


def test_a_closed_loop_counts_what_is_accepted_and_what_is_not() -> None:
    with server(answer) as target:
        good = run(peak(target, 0.1))
        bad = run(peak(Target(target.port, target.request, 200), 0.1))
    assert good.accepted_per_s > 0
    assert not good.errors
    assert bad.accepted_per_s == 0
    assert bad.errors.keys() == {202}


def test_poisson_arrivals_are_irregular_and_as_many_as_their_rate_says() -> None:
    dues_s = [*poisson(random.Random(1), 1000.0, 10.0, after_s=5.0)]
    assert dues_s == sorted(dues_s)
    assert dues_s[0] > 5.0
    assert dues_s[-1] < 15.0
    assert 9_700 < len(dues_s) < 10_300
    pauses_s = [later - earlier for earlier, later in pairwise(dues_s)]
    assert percentile(pauses_s, 0.99) > 3 * percentile(pauses_s, 0.5)


def test_a_late_generator_makes_a_run_void() -> None:
    exact = [Sample(0.0, 0.0001, 0.002, 202)] * 98
    assert not summary(exact, 202).is_void
    assert summary([*exact, *[Sample(0.0, 0.002, 0.004, 202)] * 2], 202).is_void


def test_recovery_lasts_until_requests_are_as_quick_as_before() -> None:
    slow = [Sample(5.0 + number / 100, 0.0, 1.0, 202) for number in range(100)]
    quick = [Sample(6.0 + number / 100, 0.0, 0.01, 202) for number in range(100)]
    assert recovery_s([*slow, *quick], 5.0, normal_p99_ms=10.0) == 1.5
    assert recovery_s(quick, 6.0, normal_p99_ms=10.0) == 0.5
    assert recovery_s(slow, 5.0, normal_p99_ms=10.0) is None
