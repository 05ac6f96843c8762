"""How an API key is written: `sk_<id>_<secret><checksum>`. Only a hash of it is ever stored."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_CHARS = 12
#: 256 bits: so random that a fast hash is as good as a slow one.
_SECRET_CHARS = 43
#: Of a CRC-32: scanners and gateways know a typing error without asking anybody.
_CHECKSUM_CHARS = 6
_KEY = re.compile(rf"sk_([0-9a-z]{{{_ID_CHARS}}})_[0-9A-Za-z]{{{_SECRET_CHARS + _CHECKSUM_CHARS}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key as its owner has it."""

    id: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def is_sound(self) -> bool:
        """Whether its checksum is right: nobody needs to be asked about one that is not."""
        return _checksum(self.text[:-_CHECKSUM_CHARS]) == self.text[-_CHECKSUM_CHARS:]


def new_key_id() -> str:
    return "".join(secrets.choice(string.digits + string.ascii_lowercase) for _ in range(_ID_CHARS))


def mint(key_id: str) -> KeyText:
    """A new secret for a key."""
    stem = f"sk_{key_id}_" + "".join(secrets.choice(_BASE62) for _ in range(_SECRET_CHARS))
    return KeyText(key_id, stem + _checksum(stem))


def parse(text: str) -> KeyText | None:
    """``None`` for what does not look like a key."""
    match = _KEY.fullmatch(text)
    return KeyText(match[1], text) if match else None


def _checksum(stem: str) -> str:
    number = zlib.crc32(stem.encode())
    digits = []
    for _ in range(_CHECKSUM_CHARS):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
