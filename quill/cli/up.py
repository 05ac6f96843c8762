"""`quill up`: the whole service on this machine, in one supervised group of processes."""

from __future__ import annotations

from pathlib import Path

import click


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host == "::1" or host.startswith("127.")


@click.command()
@click.option("--model", default="quill-tiny", show_default=True, help="A hub name or a local folder.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True)
@click.option("--redis-url", help="Use this store instead of starting the embedded one.")
@click.option(
    "--data",
    "data_dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".quill"),
    show_default=True,
    help="Where the embedded store keeps its append-only file.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning")
def up(model: str, host: str, port: int, redis_url: str | None, data_dir: Path, log_level: str) -> None:
    """Start everything on this machine: store, gateway, worker, intake. Ctrl-C stops it."""
    from quill.supervision.service import Service, ServiceFailed

    service = Service(
        model=model, host=host, port=port, redis_url=redis_url, data_dir=data_dir, log_level=log_level
    )
    try:
        with service:
            click.echo("starting", err=True)
            service.wait_ready()
            click.echo(f"Quill serves {model} at {service.url}   (Ctrl-C stops it)")
            if not _is_loopback(host):
                click.echo(
                    "It asks for no keys: whoever reaches it may use it. See `quill gateway`.", err=True
                )
            click.echo(f"""  curl -s {service.url}/v1/jobs -H 'Content-Type: application/json' \\
    -d '{{"prompt": "What is 17 + 25?"}}'""")
            click.echo('  quill submit "What is 17 + 25?" --stream')
            service.watch()
    except ServiceFailed as failure:
        raise click.ClickException(str(failure)) from None
