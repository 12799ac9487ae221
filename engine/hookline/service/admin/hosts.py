"""The hosts at which the admin API and the console are reached.

A page of another site can let its own name lead to this address (DNS rebinding). Its requests then count as those of
one origin, so the browser shows it the answers. They have the name of that site in `Host`.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from hookline.kernel.errors import WrongHost

_LOCAL: Final = "localhost"


class Hosts:
    """The names of one server. Ports don't matter: they may be forwarded, and a site can't choose them freely."""

    def __init__(self, urls: Iterable[str] = ()) -> None:
        """`urls` that people use, besides the address itself and localhost."""
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
    # A socket for both versions shows the addresses of IPv4 in those of IPv6.
    return getattr(found, "ipv4_mapped", None) or found
