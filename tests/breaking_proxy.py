"""A TCP proxy that breaks the way to a server."""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import suppress
from typing import Self

import httpx2


class BreakingProxy:
    """Passes every request on, but closes a connection after so many bytes of what comes back.

    ``budgets_bytes`` has one entry for each connection to come; further ones pass everything. A budget of 0
    drops a reply that the server has already given.
    """

    def __init__(self, url: str, *budgets_bytes: int) -> None:
        self._upstream = httpx2.URL(url)
        self._budgets = deque(budgets_bytes)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.broken = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake a thread that waits in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            budget_bytes = self._budgets.popleft() if self._budgets else None
            threading.Thread(target=self._serve, args=(client, budget_bytes), daemon=True).start()

    def _serve(self, client: socket.socket, budget_bytes: int | None) -> None:
        server = socket.create_connection((self._upstream.host, self._upstream.port or 80))
        with client, server:
            upward = threading.Thread(target=_pump, args=(client, server, None), daemon=True)
            upward.start()
            if not _pump(server, client, budget_bytes):
                self.broken += 1
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            upward.join(5)


def _pump(source: socket.socket, sink: socket.socket, budget_bytes: int | None) -> bool:
    """Whether the source ended before its budget did."""
    with suppress(OSError):
        while data := source.recv(65_536):
            if budget_bytes is not None and len(data) > budget_bytes:
                sink.sendall(data[:budget_bytes])
                return False
            sink.sendall(data)
            budget_bytes = None if budget_bytes is None else budget_bytes - len(data)
    return True
