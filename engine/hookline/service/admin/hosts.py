"""The hosts at which the admin API is reached.

A page of another site can make its own name resolve to this address (DNS rebinding). For the browser, the page and the
API then have the same origin, so the page may read the responses. Such requests have the name of that site in `Host`.

A page of another site can also send requests with the cookie of a session (CSRF), if its site differs only in the port,
for example. Such requests have its origin in `Origin`.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

from quart import Request

from hookline.kernel.errors import WrongHost, WrongOrigin

_LOCAL: Final = "localhost"
_PORTS: Final = {"http": 80, "https": 443}


class Hosts:
    """The host names of one server. Ports don't matter: they may be forwarded."""

    def __init__(self, urls: Iterable[str] = (), admin_url: str = f"http://{_LOCAL}") -> None:
        """`admin_url`: the URL under which people reach the console. `urls`: others, besides the address itself and
        localhost."""
        self.admin_url = admin_url
        self._origin = _origin(admin_url)
        self._names = frozenset(name for url in (*urls, admin_url) if (name := urlsplit(url).hostname))

    def check(self, host: str, bound: str | None) -> None:
        """Raise WrongHost unless a `Host` header names this server.

        `bound`: the address to which the connection came; None if it isn't known.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = ""
        if name in self._names or name == _LOCAL:
            return
        address = _address(name)
        if address is None or not (address.is_loopback or address == _address(bound or "")):
            raise WrongHost(
                f"The API isn't at the host {host[:200]!r}. The setting admin_url names the URL under which people "
                "reach it."
            )

    def check_request(self, request: Request) -> None:
        """Raise WrongHost unless every `Host` header of a request names this server."""
        # There may be several: with HTTP/2, `:authority` and `host`.
        for host in request.headers.getlist("Host") or [""]:
            self.check(host, (request.scope.get("server") or (None,))[0])

    def check_origin(self, origins: Sequence[str]) -> None:
        """Raise WrongOrigin unless the `Origin` headers of a request are one, which is that of the console."""
        if list(origins) != [self._origin]:
            given = ", ".join(origins)[:200] or "no origin"
            raise WrongOrigin(
                f"The request has {given}, and the console is at {self._origin}. The setting admin_url names the URL "
                "under which people reach it."
            )


def _origin(url: str) -> str:
    """The origin of a URL, in the form in which browsers send it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.isascii():
        host = host.encode("idna").decode()
    shown = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{shown}{port}"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A dual-stack socket shows IPv4 addresses as IPv6 addresses.
    return getattr(found, "ipv4_mapped", None) or found
