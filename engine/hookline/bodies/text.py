"""Decoding of text by its charset."""

import codecs
import encodings
import pkgutil
import re
from encodings.aliases import aliases
from functools import lru_cache
from typing import Final

from hookline.kernel.errors import Malformed, TooLarge

#: Python's text codecs that are no charsets: they escape, take too much time, or produce lone surrogates.
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf_7", "undefined", "charmap"}
)
#: Looked up first, because Python caches each name that it was ever asked for, known or not.
_MODULES: Final = frozenset(module.name for module in pkgutil.iter_modules(encodings.__path__)) - _NO_CHARSETS
MAX_CONTROLS: Final = 1_000_000
"""The most control characters in one text: each takes six bytes in JSON, and other threads wait while it is written."""
_CONTROLS: Final = bytes(byte for byte in range(32) if byte not in b"\b\t\n\f\r")
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")


def known_charset(name: str) -> str | None:
    """Return Python's name for a charset, such as `utf-8` or `cp1252`.

    None for an unknown name, and for codecs that are no charsets.
    """
    return _found(name[:60])


@lru_cache(256)
def _found(name: str) -> str | None:
    key = _NOT_IN_NAMES.sub("_", name.lower()).strip("_")
    module = aliases.get(key, key)
    if module not in _MODULES:
        return None
    try:
        codec = codecs.lookup(module)
        # Rejects codecs from bytes to bytes, and from text to text.
        "a".encode(codec.name)
    except (LookupError, ValueError):
        return None
    return codec.name


def decode_text(data: bytes, charset: str | None, what: str = "the body") -> str:
    """Decode bytes, as UTF-8 by default, without the byte order mark. Raises Malformed and TooLarge."""
    codec = "utf-8" if charset is None else known_charset(charset)
    if codec is None:
        raise Malformed(f"{what} says that its charset is {str(charset)[:40]!r}, which is not known here; send UTF-8")
    if codec in ("utf-16", "utf-32") and not data.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        # Without a mark, Python would use the byte order of its machine; senders mean this one.
        codec += "-le"
    try:
        text = data.decode(codec)
        # Some codecs allow lone surrogates, which JSON can't represent.
        encoded = data if codec == "utf-8" else text.encode()
    except (UnicodeError, LookupError) as error:
        raise Malformed(f"{what} is not {(charset or 'utf-8')[:40]}: {error}") from None
    if len(encoded) > MAX_CONTROLS and len(encoded) - len(encoded.translate(None, _CONTROLS)) > MAX_CONTROLS:
        raise TooLarge(f"{what} has more than {MAX_CONTROLS:,} control characters; send it as a file")
    return text.removeprefix("\ufeff")
