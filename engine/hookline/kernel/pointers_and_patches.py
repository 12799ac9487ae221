"""JSON pointers (RFC 6901), and patches that change documents at them (RFC 6902)."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec


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


class Patch(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change of a document, as in a JSON Patch."""

    op: Literal["add", "replace", "move", "remove"]
    """`move` renames a member."""
    path: str
    """The JSON pointer of the value that is changed, or of the new value or name; `-` stands for the end of a list."""
    from_: str | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="from")
    """The JSON pointer of a member that gets another name."""
    value: Any = msgspec.UNSET
    """The new value."""


def adding(pointer: str, value: Any) -> tuple[Patch, ...]:
    """Return the patch that puts a value where none is."""
    return (Patch("add", pointer, value=value),)


def replacing(pointer: str, value: Any) -> tuple[Patch, ...]:
    """Return the patch that puts another value in the place of one."""
    return (Patch("replace", pointer, value=value),)


def removing(pointer: str) -> tuple[Patch, ...]:
    """Return the patch that removes a value."""
    return (Patch("remove", pointer),)
