"""Identifiers that sort by the time at which they were made (RFC 9562, version 7).

They are made here and not by a library because their order is a promise: within a process, a later id is
always greater, also within one millisecond, and also when the system's clock is set back.
"""

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime
from threading import Lock

from hookline.kernel.clocks import Clock

_COUNTER_BITS = 42
_LOW_BITS = 30


class Ids:
    """Makes ids; `random_bits(n)` is the source of their unguessable part."""

    def __init__(self, clock: Clock, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._clock = clock
        self._random_bits = random_bits
        self._lock = Lock()
        self._millisecond = 0
        self._counter = 0

    def new(self, now: datetime | None = None) -> str:
        """Return a new id, as 36 characters of lower-case hex and dashes. `now`: the time, if the caller has just asked
        the clock."""
        with self._lock:
            millisecond = int((now or self._clock.now()).timestamp() * 1000)
            if millisecond > self._millisecond:
                self._millisecond = millisecond
                # The top bit stays 0, so that the counter has room within a busy millisecond.
                self._counter = self._random_bits(_COUNTER_BITS - 1)
            else:
                self._counter += 1
            millisecond, counter = self._millisecond, self._counter
        # Layout: 48 bits of time, version, 12 bits of counter, variant, 30 bits of counter, 32 random bits.
        high, low = counter >> _LOW_BITS, counter & ((1 << _LOW_BITS) - 1)
        value = (millisecond << 80) | (7 << 76) | (high << 64) | (2 << 62) | (low << 32) | self._random_bits(32)
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def follow(self, earlier: str) -> None:
        """Make only ids that are greater than one that an earlier process made, also if the clock was set back since.

        Raises ValueError if it is no id.
        """
        value = int(earlier.replace("-", ""), 16)
        counter = (value >> 64 & 0xFFF) << _LOW_BITS | value >> 32 & ((1 << _LOW_BITS) - 1)
        with self._lock:
            self._millisecond, self._counter = max((self._millisecond, self._counter), (value >> 80, counter))


def derived_id(at: datetime, *parts: str) -> str:
    """Derive an id from other ids and a time: the same arguments give the same id.

    It sorts by `at`, and has the form of the ids that `Ids` makes.
    """
    value = int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:16])
    value = value & ~(0xFFFF << 76 | 3 << 62 | (1 << 128) - (1 << 80)) | 7 << 76 | 2 << 62
    text = f"{value | int(at.timestamp() * 1000) << 80:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def idempotency_key(execution_id: str, path: str) -> str:
    """The key of one action of one execution: the same for each attempt, in every process."""
    return hashlib.sha256(f"{execution_id}\n{path}".encode()).hexdigest()[:40]
