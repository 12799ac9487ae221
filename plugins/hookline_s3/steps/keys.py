"""The check of an object's key."""

from unicodedata import category

from hookline.api import StepError


def checked(key: str) -> str:
    """A key that is one. Raises StepError (`s3.key`)."""
    parts = key.split("/")
    if (
        len(key.encode(errors="replace")) > 1024
        or any(category(letter) in ("Cc", "Cs") for letter in key)
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise StepError(
            f"{key[:200]!r} is no key of an object: a key is one or more names with one slash between them, none "
            "of them `.` or `..`, without control characters, and of at most 1024 bytes",
            code="s3.key",
        )
    return key
