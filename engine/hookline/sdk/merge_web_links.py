"""The header `Link` (RFC 8288)."""

import re
from typing import Final

#: A target, a quoted text, a separator, or a word.
_TOKEN: Final = re.compile(r'<[^>]*>|"(?:[^"\\]|\\.)*"|[;,=]|[^\s;,="<]+')


def next_link(header: str) -> str | None:
    """The target of the first link with the relation `next`, as it stands there; None where there is none."""
    target: str | None = None
    name, relation = "", None
    expects = ""
    for part in (*_TOKEN.findall(header), ","):
        if part.startswith("<"):
            target, relation, expects = part[1:-1].strip(), None, ""
        elif part == ",":
            if target is not None and relation is not None and "next" in relation.lower().split():
                return target
            target, relation, expects = None, None, ""
        elif part == ";":
            expects = "name"
        elif part == "=":
            expects = "value"
        elif expects == "name":
            name, expects = part.lower(), ""
        elif expects == "value":
            # Of a relation that is said twice, the first counts.
            if name == "rel" and relation is None:
                relation = part[1:-1] if part.startswith('"') else part
            expects = ""
    return None
