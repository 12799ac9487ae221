"""Certificates and key sets that are fetched for verification: bounded, fetched once at a time, and cached."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from hookline.api import CannotVerify, HttpClient, NotVerified, StepError

T = TypeVar("T")

_TIMEOUT: Final = 5.0
_LONGEST_FILE: Final = 64 * 1024
_KEPT: Final = 32
#: Anybody can send URLs of certificates that don't exist: so few are fetched side by side, and few wait for it.
_FETCHES: Final = 4
_WAITING: Final = 64


def _always(value: object, at: datetime) -> bool:
    return True


class Fetched(Generic[T]):
    """Fetches files by their URLs, reads them in a thread, and caches the results."""

    def __init__(
        self,
        what: str,
        read: Callable[[str, bytes, datetime], T],
        *,
        kept_for: timedelta = timedelta(days=1),
        valid: Callable[[T, datetime], bool] = _always,
        named_by_sender: bool = True,
    ) -> None:
        """`what` names the file in messages. `read` is given the URL, the content and the time; it raises CannotVerify.

        `valid` returns true if a cached result may still be used. `named_by_sender`: if there is no file at the URL,
        the request fails verification; otherwise it can't be verified now.
        """
        self._what = what
        self._read = read
        self._kept_for = kept_for
        self._valid = valid
        self._named_by_sender = named_by_sender
        self._kept: OrderedDict[str, tuple[datetime, T]] = OrderedDict()
        self._fetches = asyncio.Semaphore(_FETCHES)
        self._waiting = 0

    async def get(self, url: str, at: datetime, http: HttpClient, *, kept_for: timedelta | None = None) -> T:
        """Return the result for a URL, at most as old as `kept_for`. The caller has checked the URL.

        Raises NotVerified if there is no file, and CannotVerify if that can't be known now.
        """
        longest = self._kept_for if kept_for is None else kept_for
        if (known := self._recent(url, at, longest)) is not None:
            return known[0]
        try:
            return await self._fetch_anew(url, at, http, longest)
        except CannotVerify:
            # What was good yesterday is still good while its owner can't be reached.
            stale = self._kept.get(url)
            if stale is not None and self._valid(stale[1], at):
                return stale[1]
            raise

    async def _fetch_anew(self, url: str, at: datetime, http: HttpClient, longest: timedelta) -> T:
        if self._waiting >= _WAITING:
            raise CannotVerify(f"too many requests wait for {self._what}")
        self._waiting += 1
        try:
            async with self._fetches:
                # Another request may have fetched it meanwhile.
                if (known := self._recent(url, at, longest)) is not None:
                    return known[0]
                fetched = await asyncio.to_thread(self._read, url, await self._fetch(url, http), at)
        finally:
            self._waiting -= 1
        self._kept[url] = (at, fetched)
        self._kept.move_to_end(url)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return fetched

    def _recent(self, url: str, at: datetime, longest: timedelta) -> tuple[T] | None:
        kept = self._kept.get(url)
        if kept is None or at - kept[0] > longest or not self._valid(kept[1], at):
            return None
        self._kept.move_to_end(url)
        return (kept[1],)

    async def _fetch(self, url: str, http: HttpClient) -> bytes:
        try:
            response = await http.request("GET", url, redirects=0, timeout=_TIMEOUT, max_bytes=_LONGEST_FILE)
        except StepError as error:
            if self._named_by_sender and error.error_code in ("http.404", "http.410"):
                # Its owner says that there is no such thing: the sender's claim is wrong, now and later.
                raise NotVerified(f"{self._what} doesn't exist: the server that the sender names has none") from None
            raise CannotVerify(f"{self._what} can't be fetched from {url}: {error.message}") from error
        if response.status != 200:
            raise CannotVerify(f"{self._what} can't be fetched from {url}: status {response.status}")
        return response.content
