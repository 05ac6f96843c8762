"""A real Valkey server of a test's own, on a private port and a temporary folder."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any, ClassVar

import redis

from quill.embedded import free_port, server_command
from quill.store.acl import ROLES, rules

PASSWORD = "sesame"


def as_user(url: str, role: str) -> str:
    """The URL of one of a test server's users, if it is the URL of such a server."""
    return url.replace("redis://127.", f"redis://quill-{role}:{PASSWORD}@127.", 1)


class ValkeyServer:
    #: Another server's, such as that of a Redis.
    binary: ClassVar[str | None] = None

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def url_of(self, role: str) -> str:
        return as_user(self.url, role)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=5)

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + 10
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    self._make_users(client)
                    return
                except redis.RedisError:
                    assert time.monotonic() < deadline_s, "the server did not come up"
                    time.sleep(0.02)

    def _command(self) -> list[str]:
        command = server_command(self.port, self.data_dir)
        return [self.binary or command[0], *command[1:]]

    def _make_users(self, client: redis.Redis) -> None:
        """Every part of a test's deployment connects as the user that it has in production."""
        setuser: Any = client.execute_command
        # As `quill acl` says.
        is_7_0 = str(client.info("server")["redis_version"]).startswith("7.0.")
        unknown = {"+client|setinfo"} if is_7_0 else set()
        for role in ROLES:
            words = [word for word in rules(role, "quill") if word not in unknown]
            setuser("ACL", "SETUSER", f"quill-{role}", f">{PASSWORD}", *words)

    def empty(self) -> None:
        with self.client() as client:
            client.flushall()

    def kill(self) -> None:
        """As a crash would: nothing is flushed, nobody is told."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.kill()
        self.start()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(10)
        self._process = None
