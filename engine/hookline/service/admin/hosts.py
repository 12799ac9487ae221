"""The hosts at which the admin API is reached.

A page of another site can make its own name resolve to this address (DNS rebinding). For the browser, the page and the
API then have the same origin, so the page may read the responses. Such requests have the name of that site in `Host`.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from hookline.kernel.errors import WrongHost

_LOCAL: Final = "localhost"


class Hosts:
    """The host names of one server. Ports don't matter: they may be forwarded."""

    def __init__(self, urls: Iterable[str] = ()) -> None:
        """`urls`: those that people use, besides the address itself and localhost."""
        self._names = frozenset(name for url in urls if (name := urlsplit(url).hostname))

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


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A dual-stack socket shows IPv4 addresses as IPv6 addresses.
    return getattr(found, "ipv4_mapped", None) or found
