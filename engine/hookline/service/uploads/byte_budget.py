"""The bytes that the bodies of all requests may take at a time."""

import threading
from typing import Final

from hookline.kernel.errors import ServiceUnavailable, TooLarge

_RETRY_AFTER: Final = 60.0


class ByteBudget:
    """A limit on the bytes that all requests in progress may hold together, in memory or in the blob store.

    Large bodies are read in threads, which count too.
    """

    __slots__ = ("_left", "_lock", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._lock = threading.Lock()

    def take(self, size: int, before: int) -> None:
        """Take bytes for one more chunk of a request that has taken some before.

        Raises ServiceUnavailable if other requests have taken them, and TooLarge if the limit is too small for the
        request.
        """
        with self._lock:
            if size <= self._left:
                self._left -= size
                return
        if before + size > self._most:
            raise TooLarge(f"the request's bodies and files are larger than {self._most} bytes together")
        raise ServiceUnavailable("too much is being received at once", retry_after=_RETRY_AFTER)

    def give(self, size: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._left += size
