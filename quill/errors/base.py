"""What every error of ours is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One place in a request that is wrong: a JSON pointer (RFC 6901) and what is expected there."""

    pointer: str
    detail: str


class QuillError(Exception):
    """Something went wrong in Quill."""

    code: ClassVar[str] = "quill_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str | None = None,
        *,
        faults: tuple[Fault, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        self.message = message or (self.__doc__ or self.code).strip()
        self.faults = faults
        self.retry_after_s = retry_after_s
        super().__init__(self.message)
