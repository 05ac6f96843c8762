"""A webhook receiver of a test's own: a real HTTP server that keeps what came and misbehaves on demand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from quill.embedded import free_port


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    #: With lower-case names.
    headers: dict[str, str]
    body: bytes
    at_s: float


#: Answers one request, or leaves it be.
Answer = Callable[[BaseHTTPRequestHandler], object]


class Receiver:
    def __init__(self) -> None:
        self._received: list[Received] = []
        self._answers: dict[str, list[Answer]] = {}
        self._over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._receive(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port_of_nobody = free_port()

    @property
    def port(self) -> int:
        return self._server.server_port

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def url_of_nobody(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port_of_nobody}{path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def got(self, path: str, at_least: int) -> list[Received]:
        """What came there, if that is enough by now."""
        found = [one for one in list(self._received) if one.path == path]
        return found if len(found) >= at_least else []

    def answers(self, path: str, *answers: Answer) -> None:
        """One after the other; the last one stays. Elsewhere everything is well."""
        self._answers[path] = list(answers)

    def status(self, code: int, retry_after: str | None = None) -> Answer:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(code)
            if retry_after is not None:
                handler.send_header("Retry-After", retry_after)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        return answer

    def redirect(self, path: str) -> Answer:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", self.url(path))
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        return answer

    def silence(self, handler: BaseHTTPRequestHandler) -> None:
        self._over.wait(30)

    def trickle(self, handler: BaseHTTPRequestHandler) -> None:
        """Says that all is well, and never comes to an end of it."""
        handler.send_response(200)
        handler.end_headers()
        while not self._over.wait(0.05):
            handler.wfile.write(b".")

    def endless(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not self._over.is_set():
            handler.wfile.write(b"." * 65_536)

    def nonsense(self, handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"I am no HTTP\r\n\r\n")

    def _receive(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self._received.append(Received(handler.path, headers, body, time.monotonic()))
        answers = self._answers.get(handler.path, [self.status(200)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        try:
            answer(handler)
        except OSError:
            handler.close_connection = True  # the sender has heard enough
