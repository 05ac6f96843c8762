"""`python -m gateway`: one gateway process, set by `QUILL_*`."""

from __future__ import annotations

import socket

import structlog
import uvicorn

from gateway.app import create_app
from quill.log import configure
from quill.settings import GatewaySettings

_log = structlog.get_logger(__name__)

#: Streams and long-polls would hold a shutdown up for ever; their clients come back and read on.
_SHUTDOWN_S = 3


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for bound in server.sockets:
                host, port = bound.getsockname()[:2]
                _log.info("ready", action="gateway_ready", host=host, port=port)


def serve(settings: GatewaySettings) -> None:
    configure(settings)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    Server(config).run()


if __name__ == "__main__":
    serve(GatewaySettings())
