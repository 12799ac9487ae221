"""The connections that are open: how many all addresses and one address may have."""

from collections.abc import Callable
from typing import Final

from hookline.kernel.errors import ServiceUnavailable
from hookline.service.hooks.sender import Networks, client_of, is_within, parse_address

_RETRY_AFTER: Final = 5.0


class ConnectionSlots:
    """A number of slots for connections, or for requests on them."""

    changed: Callable[[int], None] | None = None
    """Called with the number of slots that are taken, when it has changed."""

    def __init__(self, what: str, most: int, trusted: Networks = ()) -> None:
        """`what`: their plural, for errors. `trusted`: the proxies, behind each of which are many senders."""
        self._what = what
        self._most = most
        self._each = max(1, most // 2)
        self._trusted = tuple(trusted)
        self._taken: dict[str, int] = {}
        """The slots taken, by client; those of the proxies are together."""
        self._total = 0

    def enter(self, peer: str | None) -> "ConnectionSlot":
        """Take a slot for an address, as the socket has it. Raises ServiceUnavailable."""
        client = self._client(peer)
        if self._total >= self._most:
            raise ServiceUnavailable(f"there are too many {self._what}", retry_after=_RETRY_AFTER)
        if client and self._taken.get(client, 0) >= self._each:
            raise ServiceUnavailable(f"your address has too many {self._what}", retry_after=_RETRY_AFTER)
        self._total += 1
        self._taken[client] = self._taken.get(client, 0) + 1
        if self.changed is not None:
            self.changed(self._total)
        return ConnectionSlot(self, client)

    def leave(self, client: str) -> None:
        """Give one slot back."""
        self._total -= 1
        self._taken[client] -= 1
        if not self._taken[client]:
            del self._taken[client]
        if self.changed is not None:
            self.changed(self._total)

    def _client(self, peer: str | None) -> str:
        address = None if peer is None else parse_address(peer)
        if address is not None and is_within(address, self._trusted):
            return ""
        return client_of(address)


class ConnectionSlot:
    """A slot that is taken, until it is given back."""

    __slots__ = ("_client", "_slots")

    def __init__(self, slots: ConnectionSlots, client: str) -> None:
        self._slots: ConnectionSlots | None = slots
        self._client = client

    def leave(self) -> None:
        """Give the slot back; further calls do nothing."""
        if self._slots is not None:
            self._slots.leave(self._client)
            self._slots = None
