"""Which GPU each worker gets."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from quill.errors import QuillError


class NoDevice(QuillError):
    """There is no such GPU. Name them (--gpus 0,1), or use --cpu."""

    code = "no_device"


def installed_gpus() -> list[str]:
    """Their indexes, as nvidia-smi counts. Raises ``NoDevice``."""
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NoDevice("nvidia-smi lists no GPU. Name them (--gpus 0,1), or use --cpu.") from error
    return listed.split()


def pinned(
    gpus: str, together: int = 1, installed: Callable[[], list[str]] = installed_gpus
) -> list[dict[str, str]]:
    """The environment of each worker: one for every ``together`` GPUs of ``gpus`` (`0,1` or `all`), in their
    order, or one without for no GPU.

    Raises ``NoDevice``.
    """
    if not gpus:
        return [{"QUILL_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": ""}]
    names = installed() if gpus == "all" else [name.strip() for name in gpus.split(",")]
    if not names or not all(names) or len(set(names)) < len(names):
        raise NoDevice(f"--gpus {gpus}: give `all`, or different GPUs such as 0,1.")
    if len(names) % together:
        raise NoDevice(f"{len(names)} GPUs do not make groups of {together}.")
    # The process sees its own GPUs alone, so whatever picks a device by itself picks one of those.
    groups = [names[first : first + together] for first in range(0, len(names), together)]
    return [{"QUILL_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups]
