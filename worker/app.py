"""The Celery application of a worker and the Celery worker that runs it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from celery import Celery
from celery.apps.worker import Worker as CeleryWorker
from celery.worker import WorkController, components
from kombu import Queue

from quill.broker import ACCEPTED_CONTENT, RUN_TASK, broker_place, parse_ticket
from quill.settings import WorkerSettings
from worker.steps import Attendance

#: Runs the job of a ticket: (job id, seq).
RunTicket = Callable[[str, int], None]

#: Of one BRPOP. Every other wait on a socket is longer.
_POLL_S = 1


def celery_config(settings: WorkerSettings) -> Mapping[str, Any]:
    url, place = broker_place(settings.redis_url)
    transport = "worker.sentinel_transport" if settings.sentinel else "worker.transport"
    return {
        "broker_url": url,
        "broker_transport": f"{transport}:Transport",
        "broker_transport_options": {
            **place,
            # A ticket is only a hint, so kombu need not remember what it delivered.
            "ack_emulation": False,
            "polling_interval": _POLL_S,
            # Found dead at the latest after the poll and this, not after hours of silence.
            "health_check_interval": 5,
            "socket_timeout": 10,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": 1,
        "accept_content": ACCEPTED_CONTENT,
        "task_ignore_result": True,
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        # Without it a worker that reconnects while busy hoards tickets.
        "worker_disable_prefetch": True,
        "worker_enable_prefetch_count_reduction": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_consumer": "worker.consumer:Consumer",
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "enable_utc": True,
    }


def create_celery(settings: WorkerSettings, run_ticket: RunTicket) -> Celery:
    app = Celery("quill", set_as_current=False)
    app.config_from_object(celery_config(settings))
    queue = settings.keys.ticket_list(settings.served_name)
    app.conf.task_queues = [Queue(queue, exchange="", routing_key=queue)]
    app.conf.task_default_queue = queue

    @app.task(name=RUN_TASK, bind=True)
    def run(self: Any) -> None:
        run_ticket(*parse_ticket(self.request.id))

    return app


class Pool(components.Pool):
    """Celery's pool; what attends to running jobs starts before it and ends after its drain."""

    requires = (components.Hub, Attendance)


class Worker(CeleryWorker):
    #: What SIGTERM, SIGINT and SIGQUIT do; it may only set flags.
    on_stop_signal: Callable[[], None]

    def install_platform_tweaks(self, worker: CeleryWorker) -> None:
        """In place of Celery's handlers, which end its loop while tickets are still under way."""

        def stop(_: int, __: FrameType | None) -> None:
            self.on_stop_signal()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, stop)

    def setup_logging(self, colorize: bool | None = None) -> bool:
        """Says that logging is set up: `boot` has done it for the whole process."""
        return True

    class Blueprint(WorkController.Blueprint):
        default_steps = frozenset(
            {
                "celery.worker.components:Hub",
                "celery.worker.components:Timer",
                "celery.worker.components:Consumer",
                "worker.steps:Attendance",
                "worker.app:Pool",
            }
        )
