"""Keys of objects, and what is said of an object."""

from typing import Any
from unicodedata import category

from hookline.api import JsonValue, StepError


def checked(key: str) -> str:
    """A key that is one. Raises StepError (`s3.key`)."""
    parts = key.split("/")
    if (
        len(key.encode(errors="replace")) > 1024
        or any(category(letter) in ("Cc", "Cs") for letter in key)
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise StepError(
            f"{key[:200]!r} is no key of an object: that is names with one slash between, without control characters, "
            "`.` and `..`, of at most 1024 bytes",
            code="s3.key",
        )
    return key


def described(found: Any) -> dict[str, JsonValue]:
    """An object as it is listed: `key, name, size, modified_at, etag`."""
    key: str = found["path"]
    return {
        "key": key,
        "name": key.rpartition("/")[2],
        "size": found["size"],
        "modified_at": found["last_modified"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "etag": (found["e_tag"] or "").strip('"'),
    }
