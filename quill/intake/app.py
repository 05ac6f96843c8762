"""Messages of stock Celery programs become jobs; the outcome goes to the caller's own Celery result.

The whole payload rides in the message, so here, unlike on the workers' lists, kombu keeps what it has
delivered and brings it back when an intake dies. A message that comes twice names the same job twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from celery import Celery
from celery.exceptions import Ignore
from kombu import Queue as CeleryQueue
from pydantic import ValidationError

from quill import ids
from quill.admission import Admitter
from quill.broker import ACCEPTED_CONTENT, GENERATE_TASK, broker_place
from quill.errors import IdempotencyConflict, InvalidRequest, QuillError, Unavailable
from quill.intake.signature import TENANT_HEADER, tenant_of
from quill.job import JobRequest
from quill.settings import IntakeSettings
from quill.store.run import Store

_log = structlog.get_logger(__name__)

_RETRY_S = 1.0


def celery_config(settings: IntakeSettings) -> Mapping[str, Any]:
    queue = settings.keys.submit_list
    url, place = broker_place(settings.redis_url)
    return {
        "broker_url": url,
        "result_backend": url,
        "result_backend_transport_options": place,
        "broker_transport_options": {
            **place,
            "visibility_timeout": settings.visibility_timeout_s,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            # Its own, so that no other Celery application's timeout applies to our messages.
            "unacked_key": f"{queue}.unacked",
            "unacked_index_key": f"{queue}.unacked_index",
            "unacked_mutex_key": f"{queue}.unacked_mutex",
            "health_check_interval": 5,
            "socket_timeout": 10,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "accept_content": ACCEPTED_CONTENT,
        "task_queues": [CeleryQueue(queue, exchange="", routing_key=queue)],
        "task_default_queue": queue,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }


def parsed(request: object) -> JobRequest:
    """Raises ``InvalidRequest``, whose message names no value of the caller's."""
    try:
        return JobRequest.model_validate(request, strict=False)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, one["loc"])) or "request" for one in error.errors())
        raise InvalidRequest(f"The request is not valid at: {places}.") from None


def create_intake(settings: IntakeSettings) -> Celery:
    store = Store.connect(settings)
    admitter = Admitter(store, settings)
    app = Celery("quill-intake", set_as_current=False)
    app.config_from_object(celery_config(settings))

    # `finish` writes the result; only a refusal is stored from here.
    @app.task(name=GENERATE_TASK, bind=True, ignore_result=True, store_errors_even_if_ignored=True)
    def generate(self: Any, request: object = None) -> None:
        celery_id = self.request.id
        tenant = tenant_of((self.request.headers or {}).get(TENANT_HEADER), settings.intake_secret)
        job_id = ids.derived_job_id(tenant, celery_id)
        try:
            admission = admitter.admit(tenant, parsed(request), job_id=job_id, celery_id=celery_id)
        except Unavailable as error:
            raise self.retry(exc=error, countdown=_RETRY_S, max_retries=None) from error
        except IdempotencyConflict:
            # The id is another tenant's: to store a refusal under it would forge that tenant's result.
            _log.warning("a foreign task id was refused", action="intake_conflict", tenant=tenant)
            raise Ignore from None
        except QuillError as error:
            _log.info("refused", action="intake_refuse", job_id=job_id, reason=error.code)
            raise
        _log.info("admitted", action="intake_admit", job_id=job_id, is_replay=admission.is_replay)

    return app
