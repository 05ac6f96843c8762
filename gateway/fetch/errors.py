"""What a guarded fetch raises. No message has a URL, an address or a library's words in it.

FetchError
├── UnsafeTarget     422  the URL, or where it leads, is not allowed; to try again changes nothing
└── FetchFailed      502  it is allowed, but no answer came that can be used; `reason` says why
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from quill.errors import QuillError


class Reason(StrEnum):
    TIMEOUT = "timeout"
    #: The name is unknown, nobody listens there, or the connection broke.
    CONNECT = "connect"
    TLS = "tls"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"


class FetchError(QuillError):
    """The URL could not be fetched."""

    code = "fetch_error"
    status = 502


class UnsafeTarget(FetchError):
    """The URL is not allowed here. Give an https URL of a public host, on a usual port."""

    code = "unsafe_target"
    status = 422


class FetchFailed(FetchError):
    """The host gave no answer that can be used."""

    code = "fetch_failed"

    _sentences: ClassVar[Mapping[Reason, str]] = {
        Reason.TIMEOUT: "The host did not answer completely in time.",
        Reason.CONNECT: "There is no connection to the host, or it broke. Check its name and port.",
        Reason.TLS: "The host's certificate is not valid for its name, or TLS failed otherwise.",
        Reason.PROTOCOL: "The host's answer is not correct HTTP/1.1.",
        Reason.TOO_LARGE: "The host's answer is larger than what is taken.",
    }

    def __init__(self, reason: Reason) -> None:
        super().__init__(self._sentences[reason])
        self.reason = reason
