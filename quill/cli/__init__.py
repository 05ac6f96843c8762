"""`quill`: every command is imported when it is called, so that `quill --help` is instant."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "up": ("quill.cli.up", "up", "Start everything on this machine: store, gateway, worker, intake."),
    "gateway": ("quill.cli.serve", "gateway", "Run one gateway."),
    "worker": ("quill.cli.serve", "worker", "Run one worker with one model."),
    "intake": ("quill.cli.serve", "intake", "Admit jobs that Celery programs send."),
    "submit": ("quill.cli.submit", "submit", "Submit a prompt and print the answer."),
    "jobs": ("quill.cli.jobs", "jobs", "List, show, watch or cancel jobs."),
    "chaos": ("quill.cli.chaos", "chaos", "Break a whole deployment on this machine, and audit it."),
    "tenants": ("quill.cli.tenants", "tenants", "Create, list and change tenants."),
    "keys": ("quill.cli.tenants", "keys", "Create, list, rotate and revoke API keys."),
    "acl": ("quill.cli.acl", "acl", "Print the users that the store should have."),
    "dead": ("quill.cli.dead", "dead", "List, replay or purge jobs that failed."),
}


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


@click.command(cls=Commands)
@click.version_option(package_name="quill-queue")
def main() -> None:
    """An asynchronous generation service for Qwen models."""
