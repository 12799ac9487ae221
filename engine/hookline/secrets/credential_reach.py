"""The reach of a credential: the flows that may use it, and the hosts to which it may be sent."""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from hookline.kernel.errors import Problem

#: A flow's id, with `*` for any letters.
_FLOWS: Final = re.compile(r"[a-z0-9*-]{1,200}")
_PLAIN: Final = "http://"
_NAME: Final = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_HOST: Final = re.compile(rf"(https?://)?((\*\.)?{_NAME}(\.{_NAME})*|\[[0-9a-f:.]+\])(:[0-9]{{1,5}})?/?", re.IGNORECASE)
_MOST: Final = 1000


def covers(flows: Sequence[str], flow_id: str) -> bool:
    """Return true if a credential with these patterns is for a flow; without patterns it is for all."""
    return not flows or any(fnmatchcase(flow_id, pattern) for pattern in flows)


def names_host(hosts: Iterable[str], host: str, port: int | None, *, scheme: str = "") -> bool:
    """Return true if a list names a host: itself, `*.` before its domain, or either with its port.

    `scheme` is that of a URL: an entry means https, unless it begins with `http://`. Other protocols have no scheme.
    """
    actual = host.lower().strip("[]").rstrip(".")
    bracketed = f"[{actual}]" if ":" in actual else actual
    known = {actual, bracketed} if port is None else {actual, bracketed, f"{bracketed}:{port}"}
    return any(_names(entry.lower(), known, scheme) for entry in hosts)


def _names(entry: str, known: Iterable[str], scheme: str) -> bool:
    plain = entry.startswith(_PLAIN)
    if scheme in ("http", "https") and scheme != ("http" if plain else "https"):
        return False
    name = entry.removeprefix(_PLAIN).removeprefix("https://").rstrip("/")
    return any(one == name or (name.startswith("*.") and one.endswith(name[1:]) and one != name[1:]) for one in known)


def reach_problems(flows: Sequence[str], hosts: Sequence[str]) -> list[Problem]:
    """Return the problems of patterns of flows, and of hosts."""
    problems = [
        Problem(
            f"{pattern[:100]!r} isn't the id of a flow",
            f"/flows/{place}",
            "credential_flows",
            "write an id, or a pattern such as billing-*",
        )
        for place, pattern in enumerate(flows)
        if not _FLOWS.fullmatch(pattern)
    ]
    problems += [
        Problem(
            f"{host[:100]!r} isn't a host",
            f"/hosts/{place}",
            "credential_hosts",
            "write api.example.com, *.example.com or api.example.com:8443, and http:// before it for requests "
            "without encryption",
        )
        for place, host in enumerate(hosts)
        if not _HOST.fullmatch(host)
    ]
    for name, texts in (("flows", flows), ("hosts", hosts)):
        if len(texts) > _MOST:
            problems.append(Problem(f"there are {len(texts):,}", f"/{name}", "too_many", f"name at most {_MOST:,}"))
    return problems
