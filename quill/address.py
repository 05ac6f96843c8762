"""Where the store is, as `QUILL_REDIS_URL` says it: one server, or the one that sentinels call the master."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

_ONE_SERVER = ("redis://", "rediss://", "unix://")
_SENTINEL = "sentinel://"
_FORM = "sentinel://[user:password@]host1:26379,host2:26379/DB?service=NAME"
_PORT = 26_379

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?", re.ASCII)
_DB = re.compile(r"/?|/([0-9]{1,6})", re.ASCII)
#: What Sentinel itself allows in a master's name.
_SERVICE = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_PARAMETERS = frozenset({"service", "sentinel_username", "sentinel_password"})


class InvalidAddress(ValueError):
    """Says what to write instead, and never repeats what was written: a password may be in it."""


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """`username` and `password` are the store's own; sentinels may ask for others."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)


def parse_address(url: str) -> SentinelAddress | None:
    """``None`` for one server, whose URL is the client library's to read. Raises ``InvalidAddress``."""
    if url.startswith(_ONE_SERVER):
        return None
    if not url.startswith(_SENTINEL):
        raise InvalidAddress(
            f"give a redis://, rediss:// or unix:// URL, or {_FORM}; Redis Cluster is not supported"
        )
    return _sentinel_address(url)


def _sentinel_address(url: str) -> SentinelAddress:
    if not (url.isascii() and url.isprintable()) or " " in url or "#" in url:
        raise _wrong("a blank, a # or another such character has to be percent-encoded")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong("an IPv6 address stands in brackets") from None
    if ";" in url:
        raise _wrong("sentinels are separated by commas, and a ; in a password is percent-encoded")
    login, has_login, hosts = parts.netloc.rpartition("@")
    username, password = _login(login) if has_login else (None, None)
    db = _DB.fullmatch(parts.path)
    if db is None:
        raise _wrong("after the hosts comes one number, the database; a / in a password is percent-encoded")
    given = _parameters(parts.query)
    return SentinelAddress(
        sentinels=tuple(_host(host) for host in hosts.split(",")),
        service=_service(given),
        db=int(db[1] or 0),
        username=username,
        password=password,
        sentinel_username=given.get("sentinel_username"),
        sentinel_password=given.get("sentinel_password"),
    )


def _wrong(reason: str) -> InvalidAddress:
    return InvalidAddress(f"{reason}; write {_FORM}")


def _login(login: str) -> tuple[str | None, str]:
    username, _, password = login.partition(":")
    if not password:
        raise _wrong("before the @ stands user:password, or :password alone")
    return unquote(username) or None, unquote(password)


def _host(host: str) -> tuple[str, int]:
    match = _HOST.fullmatch(host)
    port = int(match[3] or _PORT) if match else 0
    if match is None or not 1 <= port <= 65_535:
        raise _wrong(
            "sentinels are host:port, separated by commas, and a password's / ? and the like percent-encoded"
        )
    return match[1] or match[2], port


def _parameters(query: str) -> dict[str, str]:
    """Not `parse_qsl`, which makes a password's + a blank."""
    given: dict[str, str] = {}
    for pair in query.split("&") if query else []:
        name, _, value = pair.partition("=")
        if name not in _PARAMETERS or not value or name in given:
            raise _wrong("the parameters are service, sentinel_username and sentinel_password, each once")
        given[name] = unquote(value)
    if "sentinel_username" in given and "sentinel_password" not in given:
        raise _wrong("sentinel_username needs a sentinel_password")
    return given


def _service(given: dict[str, str]) -> str:
    service = given.get("service", "")
    if not _SERVICE.fullmatch(service):
        raise _wrong("?service= names the master as `sentinel monitor NAME ...` does")
    return service


def kombu_url(address: SentinelAddress) -> str:
    """The same place as Celery spells it, one URL a sentinel; the service's name is a transport option."""
    login = ""
    if address.password:
        login = f"{quote(address.username or '', safe='')}:{quote(address.password, safe='')}@"
    return ";".join(
        f"{_SENTINEL}{login}{f'[{host}]' if ':' in host else host}:{port}/{address.db}"
        for host, port in address.sentinels
    )
