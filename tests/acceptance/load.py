"""Messages that threads send to a server without pause, through all of its deaths."""

import time
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException
from itertools import count
from json import dumps, loads
from threading import Thread
from typing import Any, Protocol
from urllib.parse import urlsplit

SENDERS = 8


class Address(Protocol):
    """A server, or what is in front of several."""

    url: str


class Load:
    """Sends numbered messages from several threads, and keeps the answers to those that were accepted."""

    def __init__(
        self,
        server: Address,
        path: str,
        numbers: Iterable[int] | None = None,
        *,
        senders: int = SENDERS,
        pause: float = 0.0,
        insists: bool = False,
        keeps: bool = True,
    ) -> None:
        """Send all of `numbers`, which several threads read only if it is a `count`; by default, without end.

        `pause`: seconds that a thread waits after each message. `insists`: a message that got no answer, or 429, is
        sent again until it gets another one, as most providers do. `keeps`: a thread sends all its messages on one
        connection.
        """
        self.accepted: dict[int, Any] = {}
        self.rejected: list[int] = []
        self.failed: list[str] = []
        """Why messages got no answer."""
        self.not_connected = 0
        """The number of connections that nothing accepted."""
        self.ended = False
        """Whether nothing more will be accepted."""
        self._numbers = iter(count(1) if numbers is None else numbers)
        self._pause = pause
        self._insists = insists
        self._keeps = keeps
        self._going = True
        self._path = path
        self._address = urlsplit(server.url).netloc
        self._threads = [Thread(target=self._send_all, daemon=True) for _ in range(senders)]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no further number, and wait for those under way."""
        self._going = False
        self.join()

    def join(self) -> None:
        """Wait until all numbers are sent."""
        for thread in self._threads:
            thread.join()
        self.ended = True

    def _send_all(self) -> None:
        connection = HTTPConnection(self._address, timeout=10)
        while self._going and (number := next(self._numbers, None)) is not None:
            while not self._answered(connection, number) and self._insists:
                pass
            time.sleep(self._pause)
        connection.close()

    def _answered(self, connection: HTTPConnection, number: int) -> bool:
        try:
            connection.request("POST", self._path, dumps({"n": number}), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, HTTPException) as error:
            self.failed.append(repr(error))
            self.not_connected += isinstance(error, ConnectionRefusedError)
            # It connects anew at the next request.
            connection.close()
            time.sleep(0.02)
            return False
        if not self._keeps:
            connection.close()
        if self._insists and response.status == 429:
            # A limit; providers send it again later.
            time.sleep(0.2)
            return False
        if response.status == 202 or (self._insists and response.status == 200):
            self.accepted[number] = loads(answer)
        else:
            self.rejected.append(response.status)
        return True
