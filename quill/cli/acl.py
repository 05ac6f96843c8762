"""`quill acl`: users for the store, one a part, with nothing that it does not need."""

from __future__ import annotations

import secrets

import click


@click.command()
@click.option("--namespace", default="quill", show_default=True)
def acl(namespace: str) -> None:
    """Print a users.acl for Valkey or Redis, with new passwords: one user a part of the service.

    Redis 7.0 does not know `client|setinfo`, which came with 7.2: take it out there, nothing depends on it.
    """
    from quill.store.acl import ROLES, rules

    for role in ROLES:
        words = " ".join(rules(role, namespace))
        click.echo(f"user {namespace}-{role} >{secrets.token_urlsafe(24)} {words}")
    click.echo("A part connects by redis://NAME:PASSWORD@host:6379/0. Turn the user `default` off.", err=True)
