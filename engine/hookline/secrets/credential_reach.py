"""The reach of a credential: the flows that may use it, and the hosts to which it may be sent."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

import msgspec
from pydantic import BaseModel, SecretStr

from hookline.kernel.errors import Problem, StepError

#: A flow's id, with `*` for any letters.
_FLOWS: Final = re.compile(r"[a-z0-9*-]{1,200}")
_PLAIN: Final = "http://"
_NAME: Final = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_HOST: Final = re.compile(rf"(https?://)?((\*\.)?{_NAME}(\.{_NAME})*|\[[0-9a-f:.]+\])(:[0-9]{{1,5}})?/?", re.IGNORECASE)
_MOST: Final = 1000
_PORTS: Final = {"http": 80, "https": 443}


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


@dataclass(frozen=True, slots=True)
class HostRule:
    """The hosts to which one credential may be sent."""

    credential: str
    hosts: tuple[str, ...] = ()
    """Those that it names itself, and those that its type names. If there are none, the text or the vars of a flow may
    name any."""

    def allows(self, host: str, port: int | None, *, scheme: str = "") -> bool:
        """Return true unless the host isn't among those that are named. `scheme` is that of a URL."""
        return not self.hosts or names_host(self.hosts, host, port, scheme=scheme)

    def check(self, host: str, port: int | None, *, scheme: str = "", code: str = "engine.credential_host") -> None:
        """Raise StepError if the credential may not be sent to a host."""
        if not self.allows(host, port, scheme=scheme):
            where = f"{host}:{port}" if port is not None else host
            raise StepError(
                f"credential {self.credential!r} is not sent to {f'{scheme}://' if scheme else ''}{where}: it may be "
                f"sent to {', '.join(self.hosts)} alone; an administrator may add the host to its `hosts`",
                code=code,
            )


def named_hosts(declared: Iterable[str], value: BaseModel) -> tuple[str, ...]:
    """Return the hosts that the type of a credential names: see `Connector`. `value` is the credential's value."""
    found: list[str] = []
    for entry in declared:
        given = getattr(value, entry[1:-1]) if entry.startswith("{") else entry
        if isinstance(given, SecretStr):
            given = given.get_secret_value()
        if given:
            found.append(_host_of(given) if "://" in given else given)
    return tuple(found)


def _host_of(url: str) -> str:
    """Return the host of a URL with its port, and `http://` before it if requests to it aren't encrypted."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return url  # no host matches it
    if host is None:
        return url
    name = f"[{host}]" if ":" in host else host
    return f"{_PLAIN if parts.scheme == 'http' else ''}{name}{f':{port}' if port is not None else ''}"


class KnownCredential(msgspec.Struct, frozen=True):
    """The facts about a credential by which a flow is checked."""

    type: str
    flows: tuple[str, ...] = ()
    """Patterns of the ids of the flows that may use it; none for all."""
    hosts: tuple[str, ...] = ()
    """The hosts that it names itself."""
    warnings: tuple[str, ...] = ()
    """Problems that do not keep it from being used, with the remedies."""
