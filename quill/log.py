"""Structured logs: one event a line with an `action`, never a prompt and never an output."""

from __future__ import annotations

import hashlib
import hmac
import logging
import sys

import structlog

from quill.settings import Settings


def configure(settings: Settings) -> None:
    """Sets up the process's logs on stderr, those of libraries included."""
    level = logging.getLevelName(settings.log_level.upper())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.types.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


class Digest:
    """Stands for a text in a log line: its size and a keyed hash."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.log_key.get_secret_value().encode()

    def __call__(self, text: str) -> dict[str, int | str]:
        data = text.encode(errors="surrogatepass")
        digest = hmac.new(self._key, data, hashlib.sha256).hexdigest()[:16]
        return {"chars": len(text), "digest": digest}
