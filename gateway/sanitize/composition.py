"""One spelling for what looks alike (NFC), which is what Qwen's own tokenizer makes of a text anyway."""

from __future__ import annotations

import unicodedata


def compose(text: str) -> tuple[str, int]:
    """Only after runs of marks were bounded: to sort them takes the square of their length."""
    composed = unicodedata.normalize("NFC", text)
    return composed, int(composed != text)
