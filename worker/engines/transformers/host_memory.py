"""How much memory a process may still take: a container's limit counts as much as the host's own."""

from __future__ import annotations

from pathlib import Path

import psutil

#: Where cgroup v2 shows a container its own limit; without one there is no such file, or it says `max`.
CGROUP = Path("/sys/fs/cgroup")


def free_bytes(cgroup: Path = CGROUP) -> int:
    host_bytes = int(psutil.virtual_memory().available)
    try:
        limit_bytes = int((cgroup / "memory.max").read_text(encoding="ascii"))
        taken_bytes = int((cgroup / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return host_bytes
    return max(0, min(host_bytes, limit_bytes - taken_bytes))
