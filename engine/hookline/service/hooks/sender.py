"""Senders: the address behind trusted proxies, the addresses that a flow allows, and the rate limits of clients."""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal, TypeAlias

from hookline.intake.limits import RateLimit
from hookline.kernel.errors import NotVerified, TooManyRequests
from hookline.model.webhook import RequestSettings

Address: TypeAlias = IPv4Address | IPv6Address
Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]
ForwardedHeader: TypeAlias = Literal["x-forwarded-for", "forwarded"]

CLIENTS: Final = 10_000
"""The number of clients whose rates are kept, over all flows."""
_HOPS: Final = 64
_LONGEST: Final = 8192
"""Characters of a `Forwarded` header that are read, from the right."""
_PAIR: Final = re.compile(
    r"""(?<![!#$%&'*+.^_`|~\w-])([!#$%&'*+.^_`|~\w-]++)=("(?:[^"\\]|\\.)*+"|[^\s",;=\\]++)""", re.ASCII
)
"""Addresses may stand without quotes, although their colons and brackets are not allowed in a token."""
_ELEMENT: Final = re.compile(rf"[ \t]*+(?:{_PAIR.pattern}[ \t]*+(?:;[ \t]*+|\Z))++", re.ASCII)
_SITE: Final = 64
"""The leading bits of an IPv6 address that identify a client: a single host has the remaining bits to itself."""


@lru_cache(4096)
def parse_address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A server that listens on IPv4 and IPv6 sees IPv4 addresses in this form.
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(4096)
def address_text(address: Address) -> str:
    """The address as a text; making it takes longer than finding it."""
    return str(address)


def client_of(address: Address | None) -> str:
    """The name under which the requests of an address are counted: the same for all that one host can have."""
    if isinstance(address, IPv6Address):
        return f"{int(address) >> (128 - _SITE):x}::"
    return str(address)


def is_within(address: Address, networks: Networks) -> bool:
    return bool(networks) and any(address in network for network in networks if network.version == address.version)


class Senders:
    """Determines the addresses of senders and limits their rates. One for each server."""

    def __init__(
        self,
        trusted_proxies: Networks = (),
        header: ForwardedHeader = "x-forwarded-for",
        *,
        remembered: int = CLIENTS,
    ) -> None:
        """`header` is the header that the proxies write. Any other could be written by the sender, and isn't read."""
        self._trusted = tuple(trusted_proxies)
        self._header = header
        self._remembered = remembered
        self._rates: OrderedDict[tuple[str, str, str], RateLimit] = OrderedDict()

    def address(self, peer: str | None, headers: Mapping[str, str]) -> Address | None:
        """The address of the sender, or None if it is unknown.

        The header is read from the right as long as trusted proxies have written it: each proxy names its own client.
        """
        client = parse_address(peer) if peer is not None else None
        if client is None or not is_within(client, self._trusted):
            return client
        given = headers.get(self._header)
        if given is None:
            return client
        hops = _forwarded(given) if self._header == "forwarded" else given.rsplit(",", _HOPS)
        for hop in reversed(hops[-_HOPS:]):
            client = parse_address(_without_port(hop.strip()))
            if client is None or not is_within(client, self._trusted):
                return client
        return client

    def check_rate(self, name: str, webhook: RequestSettings, client: Address | None, now: float) -> None:
        """Count a request to the target of this name. Raises TooManyRequests above the client's rate limit. `now` is
        monotonic time."""
        if webhook.client_rate is None:
            return
        key = (name, webhook.client_rate, client_of(client))
        rate = self._rates.get(key)
        if rate is None:
            if len(self._rates) >= self._remembered:
                # The client that was silent longest is forgotten: most likely its rate limit is fully available again.
                self._rates.popitem(last=False)
            rate = self._rates[key] = RateLimit(webhook.client_rate)
        else:
            self._rates.move_to_end(key)
        wait = rate.wait(now)
        if wait > 0:
            raise TooManyRequests(f"{name!r} takes {webhook.client_rate} from one address", retry_after=wait)
        rate.use(now)


def check_address(webhook: RequestSettings, client: Address | None) -> None:
    """Raise NotVerified, as after a wrong signature, if the flow doesn't allow the address."""
    if webhook.allow_from is not None and (client is None or not is_within(client, webhook.allow_from)):
        error = NotVerified(counted_as="request.address")
        error.reason = f"allow_from doesn't hold {client or 'an address that is not known'}"
        raise error


def _without_port(hop: str) -> str:
    """The address in `1.2.3.4`, `1.2.3.4:80`, `::1` or `[::1]:80`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _forwarded(value: str) -> list[str]:
    """The client of each proxy in a `Forwarded` header (RFC 7239); an empty text if it is not named.

    If a quote is left open, no client is known: the quote may be the sender's and may contain what the proxies have
    written.
    """
    elements = _elements(value[-_LONGEST:])
    return [""] if elements is None else [_for(element) for element in elements]


def _for(element: str) -> str:
    """The address in an element, or an empty text if the element is malformed: a sender's open quote may end at a quote
    of a proxy."""
    if _ELEMENT.fullmatch(element) is None:
        return ""
    named = [given for name, given in _PAIR.findall(element) if name.lower() == "for"]
    return named[0].strip('"') if len(named) == 1 else ""


def _elements(text: str) -> list[str] | None:
    """The elements of the header, not divided within quotes; None if a quote is left open."""
    parts: list[str] = []
    start, quoted, escaped = 0, False, False
    for place, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            parts.append(text[start:place])
            start = place + 1
    return None if quoted else [*parts, text[start:]]
