"""Where a checkpoint's files come from: a local folder, the hub, or ModelScope. Never its code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quill.errors import EngineError
from worker.engines.transformers.settings import EngineSettings

#: All that is ever read of a repository.
FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


def locate(settings: EngineSettings) -> tuple[str, dict[str, Any]]:
    """What `from_pretrained` takes: a name or a folder, and how to read it."""
    plain: dict[str, Any] = {"trust_remote_code": False}
    if Path(settings.model).is_dir():
        return settings.model, plain
    if settings.source == "modelscope":
        return _from_modelscope(settings), plain
    if settings.revision is not None:
        plain["revision"] = settings.revision
    return settings.model, plain


def _from_modelscope(settings: EngineSettings) -> str:
    try:
        from modelscope import snapshot_download
    except ImportError as error:
        raise EngineError("ModelScope takes its package: `pip install modelscope`.") from error
    return str(snapshot_download(settings.model, revision=settings.revision, allow_file_pattern=list(FILES)))
