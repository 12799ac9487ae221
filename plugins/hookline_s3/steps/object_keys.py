"""The check of an object's key."""

from unicodedata import category

from hookline.api import StepError


def checked(key: str) -> str:
    """Return a key if it is valid. Raises StepError (`s3.key`)."""
    parts = key.split("/")
    if (
        len(key.encode(errors="replace")) > 1024
        or any(category(letter) in ("Cc", "Cs") for letter in key)
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise StepError(
            f"{key[:200]!r} is not a valid key of an object: a key consists of names separated by single slashes, "
            "none of them `.` or `..`, without control characters, and has at most 1024 bytes",
            code="s3.key",
        )
    return key
