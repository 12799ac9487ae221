"""Bounds on what is open at once, of which no single address may have more than half."""

from typing import Final

from hookline.kernel.errors import ServiceUnavailable
from hookline.service.addresses import Networks, client_of, is_within, parse_address

_RETRY_AFTER: Final = 5.0


class Places:
    """A number of places for connections, or for requests on them."""

    def __init__(self, what: str, most: int, trusted: Networks = ()) -> None:
        """`what`: their plural, for errors. `trusted`: the proxies, behind each of which are many senders."""
        self._what = what
        self._most = most
        self._each = max(1, most // 2)
        self._trusted = tuple(trusted)
        self._taken: dict[str, int] = {}
        """The places taken, by client; those of the proxies are together."""
        self._total = 0

    def enter(self, peer: str | None) -> "Place":
        """Take a place for an address, as the socket has it. Raises ServiceUnavailable."""
        client = self._client(peer)
        if self._total >= self._most:
            raise ServiceUnavailable(f"there are too many {self._what}", retry_after=_RETRY_AFTER)
        if client and self._taken.get(client, 0) >= self._each:
            raise ServiceUnavailable(f"your address has too many {self._what}", retry_after=_RETRY_AFTER)
        self._total += 1
        self._taken[client] = self._taken.get(client, 0) + 1
        return Place(self, client)

    def leave(self, client: str) -> None:
        """Give one place back."""
        self._total -= 1
        self._taken[client] -= 1
        if not self._taken[client]:
            del self._taken[client]

    def _client(self, peer: str | None) -> str:
        address = None if peer is None else parse_address(peer)
        if address is not None and is_within(address, self._trusted):
            return ""
        return client_of(address)


class Place:
    """A place that is taken, until it is left."""

    __slots__ = ("_client", "_places")

    def __init__(self, places: Places, client: str) -> None:
        self._places: Places | None = places
        self._client = client

    def leave(self) -> None:
        """Give the place back; once is enough, and more does nothing."""
        if self._places is not None:
            self._places.leave(self._client)
            self._places = None
