"""The outline of a page: what is on it, whatever the figures, times, ids and rows are."""

import re
from typing import Final

_LINE: Final = re.compile(r'(?P<indent> *)- \'?(?P<role>[a-z]+)(?: "(?P<name>(?:[^"\\]|\\.)*)")?')
_SHOWN: Final = frozenset(
    [
        *("button", "checkbox", "columnheader", "combobox", "dialog", "figure", "heading", "img", "link", "list"),
        *("navigation", "region", "searchbox", "slider", "tab", "table", "tabpanel", "textbox", "tree"),
    ]
)
_REPEATED: Final = frozenset(["listitem", "row", "treeitem"])
"""The roles whose content is left out, except for the heads of columns and the links of the navigation."""
_CHANGING: Final = (
    (re.compile(r"\b(?=[0-9a-f-]*\d)[0-9a-f]{6,}(?:-[0-9a-f]+)*\b"), "…"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "0"),
)


def outline(snapshot: str) -> str:
    """Return the roles and names of an ARIA snapshot of Playwright: each once, in the order of the page."""
    found: dict[str, None] = {}
    around: list[tuple[int, str]] = []
    for line in snapshot.splitlines():
        parts = _LINE.match(line)
        if parts is None:
            continue
        indent, role = len(parts["indent"]), parts["role"]
        while around and around[-1][0] >= indent:
            around.pop()
        roles = {one for _, one in around}
        around.append((indent, role))
        kept = role == "columnheader" or "navigation" in roles or not roles & _REPEATED
        if kept and role in _SHOWN and parts["name"]:
            found[f"{role}: {_without_figures(parts['name'])}\n"] = None
    return "".join(found)


def _without_figures(name: str) -> str:
    for changing, stands_for in _CHANGING:
        name = changing.sub(stands_for, name)
    return name
