"""Filters that encode and decode texts; hashes; and slugs. None takes a secret, because templates have none."""

import base64 as standard
import binascii
import hashlib
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

from hookline.api import ExpressionFailed, ExpressionLimit

_ALGORITHMS: Final = ("sha256", "sha512", "sha384", "sha1", "md5", "sha3_256", "blake2b")
_MAX_SLUGGED: Final = 100_000
_MAX_URL: Final = 1_000_000


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ExpressionFailed("it takes a text; use `tojson` before it for other values")
    return value.encode()


def _read(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ExpressionFailed(f"the bytes of the {what} are not UTF-8 text") from None


def hash_(value: Any, algorithm: str = "sha256") -> str:
    """Return the hash of the text's UTF-8 in hex: sha256, sha384, sha512, sha3_256, blake2b, or old sha1 and md5."""
    if algorithm not in _ALGORITHMS:
        raise ExpressionFailed(f"an algorithm must be one of {', '.join(_ALGORITHMS)}")
    return hashlib.new(algorithm, _bytes(value), usedforsecurity=False).hexdigest()


def base64(value: Any, url: bool = False) -> str:
    """Return the text's UTF-8 in Base64; with `url=true`, in the alphabet for URLs, without padding."""
    if url:
        return standard.urlsafe_b64encode(_bytes(value)).decode().rstrip("=")
    return standard.b64encode(_bytes(value)).decode()


def base64_decode(value: Any) -> str:
    """Decode Base64 of either alphabet, padded or not, to text."""
    raw = _bytes(value).replace(b"-", b"+").replace(b"_", b"/")
    try:
        return _read(standard.b64decode(raw + b"=" * (-len(raw) % 4), validate=True), "Base64")
    except binascii.Error:
        raise ExpressionFailed("that is not Base64") from None


def hex_(value: Any) -> str:
    """Return the text's UTF-8 in hexadecimal digits."""
    return _bytes(value).hex()


def hex_decode(value: Any) -> str:
    """Decode hexadecimal digits to text."""
    try:
        return _read(bytes.fromhex(_bytes(value).decode()), "hex")
    except ValueError:
        raise ExpressionFailed("those are not hexadecimal digits") from None


def urldecode(value: Any, plus: bool = False) -> str:
    """Decode a text with escapes such as `%20`; with `plus=true`, `+` is a space."""
    shown = _bytes(value).decode()
    if len(shown) > _MAX_URL:
        raise ExpressionLimit(f"`urldecode` takes at most {_MAX_URL:,} characters")
    return urllib.parse.unquote_plus(shown) if plus else urllib.parse.unquote(shown)


def slug(value: Any, separator: str = "-", max_length: int = 0) -> str:
    """Return the text in lower case without accents, its words joined: `uber-uns` for `Über uns!`."""
    if isinstance(value, str) and len(value) > _MAX_SLUGGED:
        raise ExpressionLimit(f"`slug` takes at most {_MAX_SLUGGED:,} characters")
    plain = unicodedata.normalize("NFKD", _bytes(value).decode().casefold()).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain)
    made = str(separator)[:3].join(words)
    return made[:max_length].rstrip(str(separator)[:3]) if max_length > 0 else made


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "hash": hash_,
    "base64": base64,
    "base64_decode": base64_decode,
    "hex": hex_,
    "hex_decode": hex_decode,
    "urldecode": urldecode,
    "slug": slug,
}
