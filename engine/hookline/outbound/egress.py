"""The guard of outgoing connections, which decides the addresses that they may reach.

Addresses inside a network (loopback, private, link-local, metadata services, …) are rejected unless the server's
settings allow them. The guard checks the address to which a socket is about to connect. So a name that resolves to
another address the second time, or another spelling of an address, can't get around it.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import aiohappyeyeballs
from yarl import URL

from hookline.kernel.errors import ConfigError, StepError, Unavailable

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressInfo: TypeAlias = tuple[Any, ...]
"""An address as `getaddrinfo` returns it."""
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

SETTING: Final = "HOOKLINE_EGRESS_ALLOW"

#: Networks that `ipaddress` takes for public, at least in some versions of Python.
_INSIDE: Final = (
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv6Network("3fff::/20"),
    # Azure's metadata and control service: a public address that only virtual machines there can reach.
    ipaddress.IPv4Network("168.63.129.16/32"),
    # The anycast relays of 6to4, long withdrawn.
    ipaddress.IPv4Network("192.88.99.0/24"),
)
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
#: Second 16 bits of the interface id are 5efe: an ISATAP address, whose last 32 bits are an IPv4 address.
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})


def embedded(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the IPv4 addresses at which packets for an IPv6 address arrive, or through which they pass."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _NAT64 or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return (last,)
    return ()


def is_inside(address: Address) -> bool:
    """Return True unless the address is a public unicast address."""
    if isinstance(address, ipaddress.IPv4Address):
        return (
            not address.is_global
            or address.is_multicast
            or address.is_reserved
            or any(address in network for network in _INSIDE)
        )
    within = embedded(address)
    if any(is_inside(one) for one in within):
        return True
    # The embedded addresses were checked above. Versions of Python disagree about the outer addresses.
    if address.ipv4_mapped is not None or address.sixtofour is not None or address in _NAT64:
        return False
    return address not in _GLOBAL_V6 or not address.is_global or any(address in network for network in _INSIDE)


@dataclass(frozen=True, slots=True)
class _Allowed:
    """One entry of the setting: a network or a host, with or without a port."""

    network: Network | None
    host: str | None
    port: int | None

    def covers(self, addresses: Iterable[Address], host: str, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        network = self.network
        if network is not None:
            return any(address.version == network.version and address in network for address in addresses)
        return self.host == host


class Egress:
    """The addresses that outgoing connections may reach.

    `allow` lists networks, addresses or hosts, each with or without a port: `10.0.0.0/8`, `10.1.2.3:8080`,
    `[fd00::1]:80`, `erp.internal`, `erp.internal:8443`. A host allows every address to which its name resolves. Raises
    ConfigError for any other entry.
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._allowed = tuple(_read(entry) for entry in allow)

    def allows(self, address: str, host: str, port: int) -> bool:
        """Return True if a request for `host` may connect to `address`, in the form that sockets use, at `port`."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            # Forms that only the operating system understands, such as `127.1` and `2130706433`.
            return False
        if not is_inside(parsed):
            return True
        addresses: list[Address] = [parsed]
        if isinstance(parsed, ipaddress.IPv6Address):
            addresses += embedded(parsed)
        name = normal_host(host)
        return any(entry.covers(addresses, name, port) for entry in self._allowed)


def host_rejected(host: str, port: int, addresses: Iterable[str], code: str = "http.egress") -> StepError:
    """Return the error for a host of which no address is allowed."""
    where = ", ".join(dict.fromkeys(addresses))
    entry = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return StepError(
        f"requests may not reach {entry}, since its address {where} is inside the network; "
        f"to allow it, add {entry} or the address to the server's setting {SETTING}",
        code=code,
    )


def normal_host(host: str) -> str:
    """Return the name of a host in the form for comparisons: lower case, without a final dot."""
    return host.rstrip(".").lower()


_ENTRY = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<plain>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")


def _read(entry: str) -> _Allowed:
    text = entry.strip()
    try:
        return _Allowed(ipaddress.ip_network(text, strict=False), None, None)
    except ValueError:
        pass
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise _wrong(entry)
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port < 65536:
        raise _wrong(entry)
    name = match["v6"] or match["plain"]
    try:
        return _Allowed(ipaddress.ip_network(name, strict=False), None, port)
    except ValueError:
        if match["v6"] or "/" in name or re.fullmatch(r"[0-9.]+", name):
            raise _wrong(entry) from None
    try:
        host = URL.build(scheme="http", host=name).raw_host
    except ValueError:
        raise _wrong(entry) from None
    if not host:
        raise _wrong(entry)
    return _Allowed(None, normal_host(host), port)


def _wrong(entry: str) -> ConfigError:
    return ConfigError(
        f"{SETTING}: {entry!r} is no network, address or host; "
        "valid entries are 10.0.0.0/8, 10.1.2.3:8080, [fd00::1]:80, erp.internal or erp.internal:8443"
    )


async def connect(egress: Egress, host: str, port: int, timeout: float) -> socket.socket:
    """See `Resources.connect`. The guard checks each address to which the host resolves now."""
    with _connecting(host, port, timeout):
        async with asyncio.timeout(timeout):
            found = await _addresses(host, port)
            allowed = [info for info in found if egress.allows(str(info[4][0]), host, port)]
            if not allowed:
                raise host_rejected(host, port, (str(info[4][0]) for info in found), "engine.egress")
            return await aiohappyeyeballs.start_connection(allowed, happy_eyeballs_delay=0.25)


async def resolve(egress: Egress, host: str, port: int, timeout: float) -> Sequence[str]:
    """See `Resources.resolve`."""
    with _connecting(host, port, timeout):
        async with asyncio.timeout(timeout):
            found = await _addresses(host, port)
    if rejected := [info for info in found if not egress.allows(str(info[4][0]), host, port)]:
        raise host_rejected(host, port, (str(info[4][0]) for info in rejected), "engine.egress")
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def _addresses(host: str, port: int) -> list[AddressInfo]:
    return list(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))


@contextmanager
def _connecting(host: str, port: int, timeout: float) -> Iterator[None]:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"{where} did not answer within {timeout:g} s", code="engine.connect") from error
    except (OSError, UnicodeError) as error:
        # Python reports a name with an empty or too long label as a Unicode error.
        if isinstance(error, UnicodeError):
            raise StepError(f"{host!r:.100} is not the name of a host", code="engine.connect") from error
        raise Unavailable(f"no connection to {where}: {error}", code="engine.connect") from error
