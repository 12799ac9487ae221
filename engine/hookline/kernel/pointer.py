"""JSON pointers (RFC 6901)."""

from collections.abc import Iterable
from typing import Any


def escape(part: str | int) -> str:
    """A key or an index, encoded as one part of a pointer."""
    return str(part).replace("~", "~0").replace("/", "~1")


def pointer_to(path: Iterable[str | int]) -> str:
    """The pointer with these keys and indexes."""
    return "".join(f"/{escape(part)}" for part in path)


def parts_of(pointer: str) -> list[str]:
    """The keys and indexes of a pointer, decoded: `/a~1b/0` gives `a/b` and `0`; the whole document has none."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def value_at(document: Any, pointer: str) -> Any:
    """The value in a JSON document at a pointer that exists there."""
    for part in parts_of(pointer):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document
