"""Why a checkpoint does not load: one clear sentence, whatever chain of errors a library raised."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from quill.errors import EngineError

log = logging.getLogger(__name__)

Loaded = TypeVar("Loaded")

_NOT_FOUND = {"RepositoryNotFoundError", "HFValidationError"}
_OUT_OF_REACH = {
    "ConnectError",
    "ConnectTimeout",
    "ConnectionError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
}


def attempt(name: str, work: Callable[[], Loaded]) -> Loaded:
    """Raises ``EngineError`` with a sentence that says what to do."""
    try:
        return work()
    except EngineError:
        raise
    except Exception as error:
        log.warning("The checkpoint did not load.", exc_info=True, extra={"action": "load_checkpoint"})
        raise EngineError(_reason(name, error)) from error


def _reason(name: str, error: BaseException) -> str:
    """Libraries wrap what happened in one another's errors, so the whole chain is looked at."""
    kinds = {kind.__name__ for link in _chain(error) for kind in type(link).__mro__}
    texts = " ".join(str(link) for link in _chain(error))
    if "trust_remote_code" in texts:
        return (
            f"{name} needs code from its own repository, which Quill never runs. Of Qwen, that is the first "
            "generation: take Qwen1.5 or later."
        )
    if "GatedRepoError" in kinds:
        return f"{name} is gated on the hub: accept its licence there and set HF_TOKEN."
    if "RevisionNotFoundError" in kinds:
        return f"{name} has no such revision."
    if kinds & _NOT_FOUND:
        return f"There is no model {name}, neither on the hub nor as a local folder."
    if kinds & _OUT_OF_REACH:
        return f"{name} is neither a local folder nor in the cache, and the hub is out of reach."
    if "ImportError" in kinds or "requires `accelerate`" in texts:
        return f"{name} needs a package that is not installed for its weights; the log names it."
    if "safetensors" in texts:
        return f"{name} has no safetensors weights, and Quill loads no other kind."
    if Path(name).is_dir():
        return f"The folder {name} does not hold a text-generation model that transformers knows."
    return f"{name} could not be loaded as a text-generation model; the log has the details."


def _chain(error: BaseException | None) -> list[BaseException]:
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links
