"""`quill tenants` and `quill keys`: who may use the service; straight in the store, for the first key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from quill.cli.output import reported

if TYPE_CHECKING:
    from pydantic import BaseModel

    from quill.limits import Limits
    from quill.tenancy.plan import Plan
    from quill.tenancy.registry import NewKey, Registry

T = TypeVar("T")
M = TypeVar("M", bound="BaseModel")

_redis = click.option("--redis-url", help="Where the store is.  [env: QUILL_REDIS_URL]")
_ROTATION_H = 24.0


def _with_registry(redis_url: str | None, work: Callable[[Registry], Awaitable[T]]) -> T:
    from quill.settings import Settings
    from quill.store.run import AsyncStore
    from quill.tenancy.registry import Registry

    async def run() -> T:
        store = AsyncStore.connect(Settings(redis_url=redis_url) if redis_url else Settings())
        try:
            return await work(Registry(store))
        finally:
            await store.close()

    with reported():
        return asyncio.run(run())


def _plan(base: str | None, settings: tuple[str, ...], before: Plan | None = None) -> Plan:
    from quill.tenancy.plan import SHIPPED

    return _changed(SHIPPED[base] if base else before or SHIPPED["standard"], settings)


def _limits(settings: tuple[str, ...]) -> Limits:
    from quill.limits import Limits

    return _changed(Limits(), settings)


def _changed(before: M, settings: tuple[str, ...]) -> M:
    """`limits.requests.count=1000` changes one part of a document; values are JSON, or else text."""
    from pydantic import ValidationError

    document = before.model_dump(mode="json")
    for setting in settings:
        path, is_given, value = setting.partition("=")
        if not is_given:
            raise click.UsageError(f"--set takes NAME=VALUE, not {setting!r}.")
        _put(document, path.split("."), _value(value))
    try:
        return type(before).model_validate_json(json.dumps(document))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise click.UsageError(f"{place}: {first['msg']}") from None


def _put(document: dict[str, Any], path: list[str], value: Any) -> None:
    *outer, last = path
    for name in outer:
        if document.get(name) is None:
            document[name] = {}
        document = document[name]
    document[last] = value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@click.group()
def tenants() -> None:
    """Create, list and change tenants."""


@tenants.command("create")
@click.argument("tenant_id", metavar="ID")
@click.option(
    "--plan", "base", type=click.Choice(["standard", "local"]), default="standard", show_default=True
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a part of the plan.")
@_redis
def create_tenant(tenant_id: str, base: str, settings: tuple[str, ...], redis_url: str | None) -> None:
    """Create a tenant, e.g. `quill tenants create acme --set limits.requests.count=1000`."""
    plan = _plan(base, settings)
    tenant = _with_registry(redis_url, lambda registry: registry.create_tenant(tenant_id, plan))
    click.echo(tenant.model_dump_json())


@tenants.command("list")
@_redis
def list_tenants(redis_url: str | None) -> None:
    """One JSON object a line."""
    for tenant in _with_registry(redis_url, lambda registry: registry.tenants()):
        click.echo(tenant.model_dump_json())


@tenants.command("set")
@click.argument("tenant_id", metavar="ID")
@click.argument("settings", nargs=-1, metavar="NAME=VALUE...")
@click.option("--plan", "base", type=click.Choice(["standard", "local"]), help="Begin anew from this one.")
@_redis
def change_tenant(tenant_id: str, settings: tuple[str, ...], base: str | None, redis_url: str | None) -> None:
    """Change a tenant's plan; it counts from the next request on."""

    async def change(registry: Registry) -> str:
        before = (await registry.tenant(tenant_id)).plan
        changed = await registry.change_plan(tenant_id, _plan(base, settings, before))
        return changed.model_dump_json()

    click.echo(_with_registry(redis_url, change))


@click.group()
def keys() -> None:
    """Create, list, rotate and revoke API keys."""


@keys.command("create")
@click.argument("tenant_id", metavar="TENANT")
@click.option("--name", default="", help="To know it by.")
@click.option(
    "--scope", "scopes", multiple=True, metavar="SCOPE", help="[default: what a caller of jobs needs]"
)
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="[default: until it is revoked]")
@click.option("--model", "models", multiple=True, help="That it may ask for.  [default: all]")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A limit of its own, within the tenant's."
)
@_redis
def create_key(
    tenant_id: str,
    name: str,
    scopes: tuple[str, ...],
    days: float | None,
    models: tuple[str, ...],
    settings: tuple[str, ...],
    redis_url: str | None,
) -> None:
    """Create a key and print it, e.g. `quill keys create acme --set requests.count=9`.

    It is never shown again.
    """
    from quill.tenancy.records import CALLER_SCOPES, Scope

    known = [scope.value for scope in Scope]
    if unknown := set(scopes) - set(known):
        raise click.UsageError(f"no such scope: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    _hand_out(
        _with_registry(
            redis_url,
            lambda registry: registry.create_key(
                tenant_id,
                name=name,
                scopes=tuple(Scope(scope) for scope in scopes) or CALLER_SCOPES,
                lives_s=None if days is None else days * 86_400,
                models=models or None,
                limits=_limits(settings),
            ),
        )
    )


@keys.command("list")
@click.argument("tenant_id", metavar="TENANT")
@_redis
def list_keys(tenant_id: str, redis_url: str | None) -> None:
    """One JSON object a line; a key's text is not stored anywhere."""
    for key in _with_registry(redis_url, lambda registry: registry.keys(tenant_id)):
        click.echo(key.model_dump_json(exclude={"secrets"}))


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option("--old-hours", type=click.FloatRange(min=0), default=_ROTATION_H, show_default=True)
@_redis
def rotate_key(key_id: str, old_hours: float, redis_url: str | None) -> None:
    """Print a new text for a key; the old one counts for --old-hours yet."""
    _hand_out(_with_registry(redis_url, lambda registry: registry.rotate_key(key_id, old_hours * 3600)))


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@_redis
def revoke_key(key_id: str, redis_url: str | None) -> None:
    """Revoke a key, at once and for good."""
    _with_registry(redis_url, lambda registry: registry.revoke_key(key_id))
    click.echo(f"{key_id} revoked")


def _hand_out(new: NewKey) -> None:
    """The key alone on stdout, so that a script can take it."""
    click.echo(f"key {new.key.id} of {new.key.tenant}; it is shown this once", err=True)
    click.echo(new.text)
