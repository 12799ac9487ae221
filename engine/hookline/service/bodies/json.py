"""JSON bodies: integers are exact, nesting is bounded, and what JSON doesn't allow isn't there."""

from typing import Any, Final

import msgspec

from hookline.errors import Malformed
from hookline.jsontypes import MAX_DEPTH
from hookline.service.bodies.received import Received

_BOM: Final = b"\xef\xbb\xbf"
_decode: Final = msgspec.json.Decoder().decode


def read_json(data: bytes) -> Received:
    """The value of a JSON text; an empty one is null. Raises Malformed."""
    if data.startswith(_BOM):
        data = data[3:]
    if not data:
        return Received(None, json=b"null")
    try:
        value = _decode(data)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise Malformed(f"the body is not JSON: {error}") from None
    # Only a text with that many opening brackets can be that deep: counting them is all that most bodies cost.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and deeper_than(value, MAX_DEPTH):
        raise _too_deep()
    return Received(value, json=data)


def deeper_than(value: Any, limit: int) -> bool:
    """Whether lists and objects are nested deeper than a limit. Goes level by level: it can't run out of stack."""
    level = [value] if type(value) in (dict, list) else []
    depth = 0
    while level:
        depth += 1
        if depth > limit:
            return True
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) in (dict, list)
        ]
    return False


def _too_deep() -> Malformed:
    return Malformed(f"the body is nested deeper than {MAX_DEPTH} levels")
