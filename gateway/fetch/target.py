"""A URL that a stranger gave, read once and strictly; who connects uses these parts, never the text again.

Two readers of one URL are how such guards are walked around: what this one does not understand is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urldefrag, urljoin

import idna

from gateway.fetch.address import Address, Network, is_allowed
from gateway.fetch.errors import UnsafeTarget

CHARACTERS_AT_MOST = 2048
_DEFAULT_PORTS = {"https": 443, "http": 80}

_URL = re.compile(r"(https?)://([^/?]+)((?:/[^?]*)?(?:\?.*)?)", re.IGNORECASE | re.ASCII)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([1-9][0-9]{0,4}))?", re.ASCII)
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)
#: A host whose last part is a number is an IPv4 address to some parser (WHATWG URL, 3.5), however odd.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
# Only of ASCII: `str.lower` makes an ASCII k of the Kelvin sign.
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """What a deployment lets strangers name."""

    allow_http: bool = False
    https_ports: frozenset[int] = frozenset({443, 8443})
    http_ports: frozenset[int] = frozenset({80, 8080})
    #: The deployment's own networks, where receivers are allowed although they are not public.
    allowed_networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    scheme: str
    #: ASCII and lower-case; an IPv6 address without brackets.
    host: str
    port: int
    #: With the query.
    path: str
    #: Of a host that is a literal address.
    address: Address | None

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    def redirected(self, location: str, policy: TargetPolicy) -> Target:
        """Where a Location header leads from here, as strictly as the first URL. Raises ``UnsafeTarget``."""
        try:
            url = urldefrag(urljoin(f"{self.scheme}://{self.authority}{self.path}", location)).url
        except ValueError:
            raise UnsafeTarget("The redirect leads to no URL.") from None
        return parse_target(url, policy)


def parse_target(url: str, policy: TargetPolicy) -> Target:
    """Raises ``UnsafeTarget``. Where a name leads is not known here: that is asked before each request."""
    _check_characters(url)
    match = _URL.fullmatch(url)
    if match is None:
        raise UnsafeTarget("The URL must be absolute: https://host/path.")
    scheme, path = match[1].lower(), match[3]
    if scheme == "http" and not policy.allow_http:
        raise UnsafeTarget("The URL must begin with https://.")
    if not path.isascii():
        raise UnsafeTarget("Percent-encode what is not ASCII in the URL's path and query.")
    host, port = _split(match[2])
    address = _address(host)
    if address is not None and not is_allowed(address, policy.allowed_networks):
        raise UnsafeTarget("The URL's host is an address that is not public.")
    port = port or _DEFAULT_PORTS[scheme]
    if port not in (policy.https_ports if scheme == "https" else policy.http_ports):
        raise UnsafeTarget("The URL's port is not among those that are allowed here.")
    return Target(scheme, host.strip("[]"), port, path if path.startswith("/") else f"/{path}", address)


def _check_characters(url: str) -> None:
    if len(url) > CHARACTERS_AT_MOST:
        raise UnsafeTarget(f"The URL must have at most {CHARACTERS_AT_MOST} characters.")
    if not url.isprintable() or " " in url or "\\" in url:
        raise UnsafeTarget("The URL must have no blanks, control characters or backslashes.")
    if "#" in url:
        raise UnsafeTarget("The URL must have no fragment (#).")


def _split(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise UnsafeTarget("The URL must have no user name or password.")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise UnsafeTarget("The URL's host or port cannot be read.")
    return _ascii(match[1].translate(_LOWER)), int(match[2]) if match[2] else None


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        # Without UTS 46, whose mapping makes digits and dots of look-alikes.
        return idna.encode(host, strict=True).decode()
    except idna.IDNAError:
        raise UnsafeTarget("The URL's host is no valid internationalized name in lower case.") from None


def _address(host: str) -> Address | None:
    """``None`` for a name."""
    is_v6 = host.startswith("[")
    if not is_v6 and not _NUMBER.fullmatch(host.rpartition(".")[2]):
        if not _NAME.fullmatch(host):
            raise UnsafeTarget("The URL's host is no DNS name.")
        return None
    try:
        address = IPv6Address(host[1:-1]) if is_v6 else IPv4Address(host)
    except ValueError:
        raise UnsafeTarget("The URL's host is no IP address in its usual spelling.") from None
    if str(address) != host.strip("[]"):
        raise UnsafeTarget("The URL's host is no IP address in its usual spelling.")
    return address
