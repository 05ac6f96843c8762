"""What a tenant may do: its share, its limits, and the rules for what it sends."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from quill.job import DEFAULT_MAX_TOKENS, JobClass
from quill.limits import Limits, Rate
from quill.sanitizing import SanitizePolicy
from quill.wire import Wire

PlanName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]

#: As in a tuple in a stored document, which JSON has only lists for.
_Classes = Annotated[tuple[Annotated[JobClass, Field(strict=False)], ...], Field(strict=False)]


class Plan(Wire):
    name: PlanName
    weight: float = Field(default=1.0, gt=0, le=1000, description="Its share beside other tenants.")
    classes: _Classes = tuple(JobClass)
    limits: Limits = Limits()
    max_running_jobs: int | None = Field(default=None, ge=1, description="At once; others wait.")
    max_text_chars: int | None = Field(default=None, ge=1, description="Of all texts of a request.")
    default_max_tokens: int = Field(default=DEFAULT_MAX_TOKENS, ge=1)
    max_tokens: int | None = Field(default=None, ge=1, description="That a request may ask for.")
    sanitize: SanitizePolicy = SanitizePolicy()


STANDARD = Plan(
    name="standard",
    limits=Limits(requests=Rate(count=100, period_s=3600), queued_jobs=1_000, queued_bytes=64 * 2**20),
    max_text_chars=8192,
    max_tokens=1024,
)
#: For one's own machine: nothing is limited.
LOCAL = Plan(name="local")
#: A tenant begins as one of these, and may be changed in every part.
SHIPPED = {plan.name: plan for plan in (STANDARD, LOCAL)}
