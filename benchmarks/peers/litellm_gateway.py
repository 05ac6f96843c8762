"""LiteLLM's proxy as one process, without database and cache; its port is BENCH_PORT."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CONFIG = Path(__file__).with_name("litellm.yaml")
#: Without the second it asks the network for a list of prices at its start.
_ENVIRONMENT = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}


def main() -> None:
    program = str(Path(sys.executable).with_name("litellm"))
    options = ["--config", str(_CONFIG), "--num_workers", "1", "--host", "127.0.0.1"]
    command = [program, *options, "--port", os.environ["BENCH_PORT"]]
    os.execve(program, command, os.environ | _ENVIRONMENT)


if __name__ == "__main__":
    main()
