"""Addresses of clients and networks of proxies, as sockets and headers name them."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]

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


def client_of(address: Address | None) -> str:
    """The name under which the requests of an address are counted: the same for all that one host can have."""
    if isinstance(address, IPv6Address):
        return f"{int(address) >> (128 - _SITE):x}::"
    return str(address)


def is_within(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks if network.version == address.version)
