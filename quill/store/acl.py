"""What each part of the service needs of the store, and no more: rules for Redis' access control lists.

A script runs with its caller's rights, so what a script calls is read from its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from quill.store.call import script

_CALLED = re.compile(r"redis\.call\('(\w+)'")

#: Of every connection.
_CONNECTING = ("hello", "select", "ping", "client|setinfo", "client|setname", "info")
_SCRIPTING = ("eval", "evalsha", "script|load")
#: What Celery's transport does to a list of messages, its own bookkeeping included.
_CONSUMING = (
    "multi",
    "exec",
    "brpop",
    "lpush",
    "rpush",
    "llen",
    "sadd",
    "srem",
    "smembers",
    "sismember",
    "exists",
    "watch",
    "unwatch",
)
_CONSUMING_KEYS = ("~_kombu.binding.*", "~_kombu.*")


@dataclass(frozen=True, slots=True)
class Role:
    scripts: tuple[str, ...]
    #: Commands that it calls beside its scripts.
    commands: tuple[str, ...]
    #: With `{namespace}` in place of it.
    keys: tuple[str, ...]
    channels: tuple[str, ...] = ()


#: A script is handed the namespace as its one key.
_OWN = ("~{namespace}", "~{namespace}:*", "~{namespace}.run.*")
#: Where a stock Celery client waits for its result.
_REPLIES = ("~celery-task-meta-*",)
_REPLY_CHANNELS = ("&celery-task-meta-*",)

ROLES = {
    "gateway": Role(
        (
            *("admit", "cancel", "list", "page", "purge", "put", "read", "sweep"),
            *("attempts", "ping", "redeliver", "settle", "subscribe", "take"),
        ),
        ("get", "hgetall", "lrange", "smembers", "time", "xrange", "xread", "xrevrange", "zrange"),
        (*_OWN, *_REPLIES),
        _REPLY_CHANNELS,
    ),
    "worker": Role(
        ("bury", "claim", "decline", "emit", "finish", "join", "leave", "release", "renew", "retry", "sweep"),
        (*_CONSUMING, "get", "hget"),
        (*_OWN, *_REPLIES, *_CONSUMING_KEYS),
        _REPLY_CHANNELS,
    ),
    "intake": Role(
        ("admit", "sweep"),
        (
            *_CONSUMING,
            "get",
            "hget",
            "hgetall",
            "hset",
            "hdel",
            "zadd",
            "zrem",
            "zrevrangebyscore",
            "set",
            "del",
            "publish",
            "expire",
            "pexpire",
            "setex",
        ),
        (*_OWN, *_REPLIES, *_CONSUMING_KEYS, "~{namespace}.submit*", "~unacked*"),
        _REPLY_CHANNELS,
    ),
    "metrics": Role(
        (),
        ("get", "hget", "hgetall", "hmget", "llen", "lrange", "smembers", "time", "zcard", "zrange"),
        # Nothing that a caller wrote.
        tuple(
            f"%R~{{namespace}}:{name}"
            for name in (
                "models",
                "model:*",
                "members:*",
                "recent:*",
                "seen",
                "worker:*",
                "leases:*",
                "tickets:*",
            )
        ),
    ),
}


def rules(role: str, namespace: str) -> list[str]:
    """For `ACL SETUSER`, all but the password."""
    needed = ROLES[role]
    commands = {*_CONNECTING, *needed.commands, *(_SCRIPTING if needed.scripts else ()), *_called(needed)}
    return [
        "on",
        "resetkeys",
        "resetchannels",
        "-@all",
        *(key.format(namespace=namespace) for key in needed.keys),
        *needed.channels,
        *(f"+{command}" for command in sorted(commands)),
    ]


def _called(role: Role) -> Iterator[str]:
    for name in role.scripts:
        yield from (command.lower() for command in _CALLED.findall(script(name).text))
