"""A real master, its replica and three sentinels, each a process on a private port, all with passwords."""

from __future__ import annotations

import subprocess
from pathlib import Path

import redis

from quill.embedded import free_port, server_binary, server_command
from tests.processes import eventually

SERVICE = "quill-store"
#: With the characters that mean something in one URL or another.
PASSWORD = "p@ss:w/rd;?%,+"
SENTINEL_PASSWORD = "watch+men"


class _Server:
    """One process, with what it is told on its command line."""

    def __init__(self, port: int, password: str, command: list[str]) -> None:
        self.port = port
        self._password = password
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._answers)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self._password, socket_timeout=5)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


def _store(folder: Path, *options: str) -> _Server:
    folder.mkdir()
    port = free_port()
    logins = ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0"]
    return _Server(port, PASSWORD, [*server_command(port, folder), *logins, *options])


def _sentinel(folder: Path, master_port: int) -> _Server:
    folder.mkdir()
    port = free_port()
    lines = (
        f"bind 127.0.0.1\nport {port}\ndir {folder}\nrequirepass {SENTINEL_PASSWORD}",
        f"sentinel sentinel-pass {SENTINEL_PASSWORD}",
        f"sentinel monitor {SERVICE} 127.0.0.1 {master_port} 2",
        f'sentinel auth-pass {SERVICE} "{PASSWORD}"',
        f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 3000",
    )
    (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
    command = [str(server_binary()), str(folder / "sentinel.conf"), "--sentinel"]
    return _Server(port, SENTINEL_PASSWORD, command)


class Watched:
    """`stores[0]` is the master until something happens to it."""

    def __init__(self, folder: Path) -> None:
        self._servers: list[_Server] = []
        master = self._started(_store(folder / "store-0"))
        replica = self._started(_store(folder / "store-1", "--replicaof", f"127.0.0.1 {master.port}"))
        self.stores = (master, replica)
        self.sentinels = [
            self._started(_sentinel(folder / f"sentinel-{number}", master.port)) for number in range(3)
        ]
        eventually(self._is_watched)

    def _started(self, server: _Server) -> _Server:
        self._servers.append(server)
        return server

    def _is_watched(self) -> bool:
        """All three know each other and a replica that could take over."""
        states = []
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                states.append(client.sentinel_masters()[SERVICE])
        return (
            all(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1 for state in states)
            and self.wait_replicated()
        )

    def wait_replicated(self) -> bool:
        """Whether the replica has all that the master had when it was asked."""
        with self.stores[0].client() as client:
            return bool(client.execute_command("WAIT", 1, 2_000) == 1)

    def hand_over(self) -> None:
        """As an operator does it: the master becomes the replica, and nothing dies."""
        with self.sentinels[0].client() as client:
            client.execute_command("SENTINEL", "FAILOVER", SERVICE)

    def stop(self) -> None:
        for server in reversed(self._servers):
            server.kill()

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        login = ":p%40ss%3Aw%2Frd%3B%3F%25%2C+"
        return f"sentinel://{login}@{hosts}/2?service={SERVICE}&sentinel_password={SENTINEL_PASSWORD}"
