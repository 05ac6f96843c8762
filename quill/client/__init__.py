"""The SDK: a blocking and an asyncio client over one core that does no I/O."""

from quill.client.aio import AsyncClient
from quill.client.batch import BatchIncomplete
from quill.client.events import DeltaEvent, DoneEvent, Event, RestartEvent, StatusEvent
from quill.client.failures import GatewayUnreachable, UnexpectedAnswer, result_of
from quill.client.sync import Client

__all__ = [
    "AsyncClient",
    "BatchIncomplete",
    "Client",
    "DeltaEvent",
    "DoneEvent",
    "Event",
    "GatewayUnreachable",
    "RestartEvent",
    "StatusEvent",
    "UnexpectedAnswer",
    "result_of",
]
