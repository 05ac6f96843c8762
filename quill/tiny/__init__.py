"""quill-tiny: a Qwen3 checkpoint of under 4 MB with answers that a test can check.

Importing this package or `cases` never loads torch.
"""

from pathlib import Path

#: The model's public name, as callers write it in a request.
NAME = "quill-tiny"


def checkpoint_path() -> Path:
    """The folder that `from_pretrained` loads: weights, tokenizer, template and card."""
    return Path(__file__).parent / "checkpoint"


__all__ = ["NAME", "checkpoint_path"]
