"""JSON pointers (RFC 6901)."""


def parts_of(pointer: str) -> list[str]:
    """The keys and indexes of a pointer, decoded: `/a~1b/0` gives `a/b` and `0`; the whole document has none."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
