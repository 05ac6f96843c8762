"""Loads a checkpoint: safetensors only, never a repository's own code; a failure is one clear sentence."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from quill.errors import EngineError
from worker.engines.settings import EngineSettings

log = logging.getLogger(__name__)

#: Below this a CPU computes in float32: it is exact, and small models are fast enough.
SMALL_PARAMETERS = 200_000_000

#: Layers whose state lives in slots. The others are refused: they have no slots yet.
SERVED_LAYERS = frozenset({"full_attention"})

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    model: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype


def load(settings: EngineSettings) -> Checkpoint:
    """Raises ``EngineError`` with a sentence that says what to do."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    name = settings.model
    device = _device(settings.device)
    config = _attempt(name, lambda: transformers.AutoConfig.from_pretrained(name, trust_remote_code=False))
    _refuse_unserved(name, config)
    tokenizer = _attempt(
        name, lambda: transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    )
    if not getattr(tokenizer, "is_fast", False):
        raise EngineError(f"{name} has no tokenizer.json, which Quill needs.")
    dtype = _dtype(settings.dtype, device, lambda: _count_parameters(name, config))
    model = _attempt(name, lambda: _model(name, config, dtype))
    return Checkpoint(model.to(device).eval(), tokenizer, device, dtype)


def _model(name: str, config: Any, dtype: torch.dtype) -> Any:
    import transformers

    # Read when weights load: without it they are read by a pool of threads, and one thread runs torch here.
    os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")
    return transformers.AutoModelForCausalLM.from_pretrained(
        name,
        config=config,
        dtype=dtype,
        attn_implementation="sdpa",
        use_safetensors=True,
        trust_remote_code=False,
    )


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EngineError("The engine was told to use a GPU, and torch sees none.")
    return torch.device(wanted)


def _dtype(wanted: str, device: torch.device, count_parameters: Callable[[], int]) -> torch.dtype:
    if wanted != "auto":
        return getattr(torch, wanted)  # type: ignore[no-any-return]
    if device.type == "cuda":
        return torch.bfloat16
    is_wide = torch.ops.mkldnn._is_mkldnn_bf16_supported() and count_parameters() >= SMALL_PARAMETERS
    return torch.bfloat16 if is_wide else torch.float32


def _count_parameters(name: str, config: Any) -> int:
    import transformers

    with torch.device("meta"):
        model = _attempt(name, lambda: transformers.AutoModelForCausalLM.from_config(config))
    return int(model.num_parameters())


def _refuse_unserved(name: str, config: Any) -> None:
    layers = set(getattr(config.get_text_config(), "layer_types", None) or SERVED_LAYERS)
    if unserved := sorted(layers - SERVED_LAYERS):
        raise EngineError(f"{name} has layers that this engine does not serve yet: {', '.join(unserved)}.")


def _attempt(name: str, work: Callable[[], Loaded]) -> Loaded:
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
        return f"{name} needs code from its own repository, which Quill never runs."
    if "GatedRepoError" in kinds:
        return f"{name} is gated on the hub: accept its licence there and set HF_TOKEN."
    if kinds & {"RepositoryNotFoundError", "RevisionNotFoundError", "HFValidationError"}:
        return f"There is no model {name}, neither on the hub nor as a local folder."
    if kinds & {
        "ConnectError",
        "ConnectTimeout",
        "ConnectionError",
        "LocalEntryNotFoundError",
        "OfflineModeIsEnabled",
    }:
        return f"{name} is neither a local folder nor in the cache, and the hub is out of reach."
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
