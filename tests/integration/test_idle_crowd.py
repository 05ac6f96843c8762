"""The benchmark of idle clients measures beside as many of them as it says."""

from __future__ import annotations

import socketserver
import threading
import time

from benchmarks.idle import Members, crowd
from tests.processes import eventually

REQUEST = b"POST /"


def test_a_member_whose_connection_ends_comes_back() -> None:
    came: list[bytes] = []

    class Impatient(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            came.append(self.request.recv(len(REQUEST)))
            time.sleep(0.1)
            self.request.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Impatient) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        with crowd(server.server_address[1], Members(5, REQUEST)):
            eventually(lambda: len(came) >= 20)
        server.shutdown()
        thread.join()
    assert set(came) == {REQUEST}
