"""The benchmark of idle clients measures beside as many of them as it says."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.crowd import Members, crowd
from tests.processes import eventually

REQUEST = b"POST /"


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_member_whose_connection_ends_comes_back() -> None:
    came: list[bytes] = []

    class Impatient(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            came.append(self.request.recv(len(REQUEST)))
            time.sleep(0.1)
            self.request.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")

    with serving(Impatient) as port, crowd(port, Members(5, REQUEST)):
        eventually(lambda: len(came) >= 20)
    assert set(came) == {REQUEST}


def test_a_crowd_that_lost_a_member_says_so() -> None:
    ended: list[bool] = []

    class Tired(socketserver.BaseRequestHandler):
        """Answers the first time only."""

        def handle(self) -> None:
            self.request.recv(len(REQUEST))
            if not ended:
                self.request.sendall(b"welcome")
            self.request.shutdown(socket.SHUT_RDWR)
            ended.append(True)

    with (
        serving(Tired) as port,
        pytest.raises(RuntimeError, match="lost members"),
        crowd(port, Members(1, REQUEST, answer=b"welcome")),
    ):
        eventually(lambda: len(ended) >= 2)
