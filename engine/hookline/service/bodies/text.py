"""Text, in the charset that it says."""

import codecs
from typing import Final

from hookline.errors import Malformed

#: Python's text codecs that are no charsets: they escape, or take time out of proportion, or make lone surrogates.
_NO_CHARSETS: Final = frozenset(
    {
        "idna",
        "punycode",
        "unicode_escape",
        "unicode-escape",
        "raw_unicode_escape",
        "raw-unicode-escape",
        "utf-7",
        "undefined",
    }
)


def decode_text(data: bytes, charset: str | None, what: str = "the body") -> str:
    """Text from bytes, UTF-8 by default, its byte order mark dropped. Raises Malformed."""
    name = charset or "utf-8"
    try:
        codec = codecs.lookup(name).name
    except (LookupError, ValueError):
        codec = "undefined"
    if codec in _NO_CHARSETS:
        raise Malformed(f"{what} says that its charset is {name[:40]!r}, which is not known here; send UTF-8")
    try:
        text = data.decode("utf-8-sig" if codec == "utf-8" else codec)
        # Some codecs let lone surrogates through, which JSON can't say.
        if codec != "utf-8":
            text.encode()
    except (UnicodeError, LookupError) as error:
        raise Malformed(f"{what} is not {name[:40]}: {error}") from None
    return text
