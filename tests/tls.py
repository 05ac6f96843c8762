"""Certificates, and stores that speak TLS: a terminator before the Valkey of the tests, and a whole Redis."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from shutil import which

from quill.embedded import free_port
from tests.valkey import ValkeyServer

#: The Valkey that comes with the tests speaks no TLS. Where the machine has this one, it is tested too.
REDIS_SERVER = which("redis-server")


def certificate(path: Path, *names: str) -> Path:
    """Of its own authority, for names like `DNS:localhost`; with its key in the same file."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{path}.key"]
    subject = ["-subj", "/CN=Quill", "-addext", f"subjectAltName={','.join(names)}", "-days", "2"]
    subprocess.run(["openssl", "req", "-x509", *key, *subject, "-out", path], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.key").read_bytes())
    return path


class TlsRedis(ValkeyServer):
    """On a second port."""

    binary = REDIS_SERVER

    def __init__(self, data_dir: Path, certificate_file: Path) -> None:
        super().__init__(data_dir)
        self.tls_port = free_port()
        self._certificate_file = certificate_file

    def _command(self) -> list[str]:
        options = {
            "tls-port": self.tls_port,
            "tls-cert-file": self._certificate_file,
            "tls-key-file": f"{self._certificate_file}.key",
            "tls-ca-cert-file": self._certificate_file,
            "tls-auth-clients": "no",
        }
        words = (word for name, value in options.items() for word in (f"--{name}", str(value)))
        return [*super()._command(), *words]

    @property
    def handshakes(self) -> int:
        """Of the connections that are open."""
        with self.client() as client:
            return sum(one["laddr"].endswith(f":{self.tls_port}") for one in client.client_list())


class TlsTerminator:
    """Listens on a private port of its own; a thread pumps bytes to and from the server behind it."""

    def __init__(self, certificate_file: Path, behind: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate_file)
        self._behind = behind
        self._listens = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.tls_port = 0
        self.handshakes = 0

    def start(self) -> None:
        self._thread.start()
        assert self._listens.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)

    async def _run(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.tls_port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._ending.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        try:
            await asyncio.gather(_pump(reader, back_writer), _pump(back_reader, writer))
        finally:
            for end in (writer, back_writer):
                end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
