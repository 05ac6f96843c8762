"""What a caller's plan and key say about a request, before anything is spent on it."""

from __future__ import annotations

from gateway.principals import Principal
from quill.errors import Fault, InvalidRequest, PermissionDenied
from quill.job import DEFAULT_MAX_TOKENS, JobRequest
from quill.tenancy.plan import Plan


def check_permission(caller: Principal, request: JobRequest, model: str) -> None:
    """Raises ``PermissionDenied``."""
    plan = caller.plan
    if caller.models is not None and model not in caller.models:
        raise PermissionDenied("The API key is not for this model. Ask for one that it is for.")
    if request.job_class not in plan.classes:
        allowed = ", ".join(job_class.value for job_class in plan.classes)
        raise PermissionDenied(f"The plan has no jobs of this class; it has {allowed}.")


def with_defaults(request: JobRequest, plan: Plan) -> JobRequest:
    """What the plan says where the request says nothing, and workers would say something else."""
    default_tokens = min(plan.default_max_tokens, plan.max_tokens or plan.default_max_tokens)
    if request.max_tokens is not None or default_tokens == DEFAULT_MAX_TOKENS:
        return request
    return request.model_copy(update={"max_tokens": default_tokens})


def check_answer(plan: Plan, request: JobRequest) -> None:
    """Of a request with its preset, which may ask for more too. Raises ``InvalidRequest``."""
    if plan.max_tokens and (request.max_tokens or 0) > plan.max_tokens:
        raise InvalidRequest(faults=(Fault("#/max_tokens", f"must be at most {plan.max_tokens}"),))


def check_size(plan: Plan, request: JobRequest) -> None:
    """Raises ``InvalidRequest``: what is too long is refused, never cut."""
    if plan.max_text_chars is None:
        return
    chars = sum(map(len, request.texts))
    if chars > plan.max_text_chars:
        place = "#/prompt" if request.messages is None else "#/messages"
        detail = f"has {chars} characters; the plan takes at most {plan.max_text_chars}"
        raise InvalidRequest(faults=(Fault(place, detail),))
