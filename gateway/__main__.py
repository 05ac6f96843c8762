"""`python -m gateway`: one gateway process, set by `QUILL_*`."""

from __future__ import annotations

import resource
import socket

import structlog
import uvicorn

from gateway.app import create_app
from gateway.protocol import protocol_of
from quill.log import configure
from quill.settings import GatewaySettings

_log = structlog.get_logger(__name__)

#: Streams and long-polls would hold a shutdown up for ever; their clients come back and read on.
_SHUTDOWN_S = 3
#: Open files that are no connections of clients: the store's, the listener, what Python needs.
_OTHER_FILES = 64


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for bound in server.sockets:
                host, port = bound.getsockname()[:2]
                _log.info("ready", action="gateway_ready", host=host, port=port)


def within_open_files(settings: GatewaySettings) -> GatewaySettings:
    """Raises this process's limit of open files as far as it may, and takes no more connections than fit.

    At that limit the system closes connections without a word, and the store cannot be reached either.
    """
    wanted = settings.max_connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return settings
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    at_most = min(settings.max_connections, max(files // 2, files - _OTHER_FILES))
    if at_most < settings.max_connections:
        _log.warning("open files bound the connections", action="few_files", max_connections=at_most)
    return settings.model_copy(update={"max_connections": at_most})


def config_of(settings: GatewaySettings) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http=protocol_of(settings),
        ws="none",
        access_log=False,
        # Nothing here asks who is at the other end but the bound on connections, which means the peer itself.
        proxy_headers=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )


def serve(settings: GatewaySettings) -> None:
    configure(settings)
    Server(config_of(within_open_files(settings))).run()


if __name__ == "__main__":
    serve(GatewaySettings())
