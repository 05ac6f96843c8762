"""Commands that become one serving process. Options left out come from `QUILL_*`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click


def _become(module: str, **options: object) -> NoReturn:
    """Replaces this process, so that signals reach the server itself."""
    given = {f"QUILL_{name.upper()}": str(value) for name, value in options.items() if value is not None}
    os.execve(sys.executable, [sys.executable, "-m", module], os.environ | given)


_redis = click.option("--redis-url", help="Where the store is.  [env: QUILL_REDIS_URL]")


@click.command()
@_redis
@click.option("--host", help="[default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="[default: 8000]")
@click.option("--default-model", help="For requests that name none.  [default: quill-tiny]")
@click.option("--presets", type=click.Path(exists=True, file_okay=False), help="A folder of prompt presets.")
def gateway(**options: object) -> None:
    """Run one gateway."""
    _become("gateway", **options)


@click.command()
@_redis
@click.option("--model", help="A hub name, a local folder, or quill-tiny, which is built in.")
@click.option("--served-model", help="The name callers use.  [default: the model's]")
@click.option("--revision", help="A commit, tag or branch on the hub.")
@click.option("--engine", type=click.Choice(["transformers", "vllm", "openai", "simulated"]))
@click.option("--profile", type=click.Choice(["edge"]), help="Settings for a small machine.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16", "float16"]))
@click.option("--slots", type=click.IntRange(1, 1024), help="Jobs at once.  [default: what memory allows]")
@click.option("--context-tokens", type=click.IntRange(16))
@click.option("--memory-budget-mb", type=click.IntRange(1), help="For the cache of keys and values.")
@click.option("--quantization", type=click.Choice(["int8", "nf4"]), help="Makes the weights smaller.")
@click.option("--yarn-factor", type=float, help="Stretches the model's native context so many times.")
@click.option("--tensor-parallel", type=click.IntRange(1), help="GPUs for one model (vllm).")
@click.option("--server-url", help="The openai engine's server, up to and with /v1.")
@click.option("--server-model", help="The model's name at that server.")
@click.option("--server-tokenizer", help="A hub name or folder whose tokenizer counts prompts for it.")
@click.option("--gpus", help="One supervised worker a GPU: `0,1`, or `all`.")
@click.option("--cpu", is_flag=True, help="One supervised worker without a GPU.")
def worker(gpus: str | None, cpu: bool, **options: object) -> None:
    """Run one worker with one model.

    With --gpus or --cpu its workers are supervised: they are restarted when they die.
    """
    if gpus and cpu:
        raise click.UsageError("Give --gpus or --cpu, not both.")
    if gpus or cpu:
        _become("quill.supervision", gpus=gpus or "", **options)
    _become("worker", **options)


@click.command()
@_redis
def intake(**options: object) -> None:
    """Admit jobs that Celery programs send."""
    _become("quill.intake", **options)
