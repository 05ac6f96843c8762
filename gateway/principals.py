"""Who stands behind an API key; remembered, so that no request waits for it in the steady state."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gateway.patience import patience
from quill.errors import InvalidApiKey, KeyNotFound, TenantNotFound
from quill.limits import NO_BOUNDS, Bounds, bounds_of
from quill.memory import remember
from quill.settings import GatewaySettings
from quill.tenancy import apikey
from quill.tenancy.apikey import KeyText
from quill.tenancy.plan import LOCAL, Plan
from quill.tenancy.records import ApiKey, Scope, Tenant
from quill.tenancy.registry import Registry

#: A change is heard of at once; this is for the case that its event was lost.
_KNOWN_S = 30.0
#: A key that there is not, which somebody may be about to make.
_UNKNOWN_S = 2.0
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose request it is, and what they may."""

    tenant: str
    scopes: frozenset[Scope]
    plan: Plan
    #: Empty where no key was asked for.
    key_id: str = ""
    #: That may be asked for; ``None``: all.
    models: frozenset[str] | None = None
    #: Of the key and of the tenant.
    bounds: Bounds = NO_BOUNDS


#: Everybody, where no keys are asked for.
LOCAL_PRINCIPAL = Principal("local", frozenset(Scope), LOCAL)


@dataclass(frozen=True, slots=True)
class _Known:
    key: ApiKey
    principal: Principal
    until_s: float


class Principals:
    def __init__(self, registry: Registry, settings: GatewaySettings) -> None:
        self._registry = registry
        self._settings = settings
        self._known: dict[str, _Known] = {}
        #: Ids that nobody has, until when; apart, so that whoever invents keys pushes out no real ones.
        self._unknown: dict[str, float] = {}
        #: Counts what was forgotten: what was read before that may be older than it.
        self._forgotten = 0

    async def of(self, text: str) -> Principal:
        """Raises ``InvalidApiKey``, alike for every reason, or ``Unavailable``."""
        key = apikey.parse(text)
        if key is None:
            raise InvalidApiKey
        known = self._known.get(key.id)
        if known is None or known.until_s < time.monotonic():
            if not key.is_sound:
                raise InvalidApiKey
            known = await self._read(key)
        if known is None or not known.key.admits(key.sha256, time.time()):
            raise InvalidApiKey
        return known.principal

    def forget(self) -> None:
        """A tenant or a key was changed, or may have been."""
        self._known.clear()
        self._unknown.clear()
        self._forgotten += 1

    async def _read(self, text: KeyText) -> _Known | None:
        if self._unknown.get(text.id, 0.0) > time.monotonic():
            return None
        forgotten = self._forgotten
        async with patience(self._settings):
            found = await self._found(text.id)
        known = _Known(found[0], principal_of(*found), time.monotonic() + _KNOWN_S) if found else None
        if forgotten == self._forgotten:
            if known is None:
                remember(self._unknown, text.id, time.monotonic() + _UNKNOWN_S, at_most=_REMEMBERED)
            else:
                remember(self._known, text.id, known, at_most=_REMEMBERED)
        return known

    async def _found(self, key_id: str) -> tuple[ApiKey, Tenant] | None:
        try:
            key = await self._registry.key(key_id)
            return key, await self._registry.tenant(key.tenant)
        except (KeyNotFound, TenantNotFound):
            return None


def principal_of(key: ApiKey, tenant: Tenant) -> Principal:
    bounds = bounds_of(f"key/{key.id}", key.limits) + bounds_of(f"tenant/{tenant.id}", tenant.plan.limits)
    models = None if key.models is None else frozenset(key.models)
    return Principal(tenant.id, frozenset(key.scopes), tenant.plan, key.id, models, bounds)
