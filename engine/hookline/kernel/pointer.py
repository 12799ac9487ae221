"""JSON pointers (RFC 6901)."""

from collections.abc import Iterable
from typing import Any


def escape(part: str | int) -> str:
    """Encode a key or an index as one part of a pointer."""
    return str(part).replace("~", "~0").replace("/", "~1")


def pointer_to(path: Iterable[str | int]) -> str:
    """Return the pointer of these keys and indexes."""
    return "".join(f"/{escape(part)}" for part in path)


def parts_of(pointer: str) -> list[str]:
    """Return the decoded keys and indexes of a pointer: `a/b` and `0` for `/a~1b/0`, none for the whole document."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def value_at(document: Any, pointer: str) -> Any:
    """Return the value of a JSON document at a pointer, which must exist."""
    for part in parts_of(pointer):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document
