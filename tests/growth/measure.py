"""How growth is measured: the thread's processor time for inputs of size n, 2n and 4n."""

import gc
import marshal
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import thread_time
from typing import Any, Final

from pydantic import ValidationError

from hookline.kernel.errors import HooklineError

SHORTEST: Final = 0.005
"""Seconds of processor time from which a measurement counts: n is the first size that takes as long."""
MOST_GROWTH: Final = 2.6
"""Twice the input may take so many times as long: n log n takes 2.2 times, a square 4 times."""
SQUARE: Final = 3.5
"""Work whose time grows with the square of its input takes about four times as long for twice the input."""
BEST_OF: Final = 5
SLOWEST: Final = 2.0
"""Seconds of processor time that an input of `LARGE` may take, however slowly the time grows.

It is several times what a quiet machine takes, since other tests share the caches."""
LARGE: Final = 2**20
SOON: Final = 0.25
"""Seconds after which a bound must have rejected an input whose time grows faster than n log n below that bound."""
AT_ONCE: Final = 0.25
"""Seconds that work which is bounded may take for the largest message."""
SMALLEST: Final = 512
MOST: Final = 2**16
"""The largest size by default. A square would take seconds there, even one that takes the processor's fastest steps."""
MOST_WIDE: Final = 10 * 2**20
"""The largest size of the long test: the largest body that a server takes by default."""
_REFERENCE: Final = 200_000
_REFERENCE_TIME: Final = 0.014
"""Seconds that as many steps take on a processor of 2024 that is idle."""
REJECTIONS: Final = (HooklineError, ValidationError)


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of hostile input, of any size."""

    name: str
    make: Callable[[int], Any]
    """From a size, about the number of bytes or characters, to the input."""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that works on what a message says."""

    kind: str
    name: str
    run: Callable[[Any], object]
    families: tuple[Family, ...]
    most: int = MOST_WIDE
    """The largest input that it is ever given, where something else bounds that."""
    smallest: int = SMALLEST
    """The first size that is tried: a larger one saves time where there are many families."""
    is_bounded: bool = False
    """True if there is no larger input than `most`, so that its time counts and not its growth."""
    clock: Callable[[], float] = thread_time
    """The processor time of this thread, or of the whole process where the work runs in another one."""
    more_families: Callable[[], Iterable[Family]] = tuple
    """Families that are made when they are asked for, since there are thousands of them."""

    def all_families(self) -> Iterator[Family]:
        """Each family that suits it."""
        yield from self.families
        yield from self.more_families()


@dataclass(frozen=True, slots=True)
class Growth:
    """The times of one thing over one family."""

    family: str
    times: tuple[tuple[int, float], ...]
    """Sizes and seconds of processor time, from the first size that takes long enough."""
    is_too_fast: bool = False
    """A doubling of the size took more than `MOST_GROWTH` times as long, without a bound; or all of it too long."""

    def __str__(self) -> str:
        shown = ", ".join(f"{size:,}: {seconds * 1000:.1f} ms" for size, seconds in self.times)
        return f"{self.family} ({shown})"


@contextmanager
def _without_collections() -> Iterator[None]:
    """Collect no garbage: a collection goes through everything that the process holds, also while inputs are made."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_collections()
def measure(thing: Thing, family: Family, most: int) -> Growth:
    """Measure a thing over a family. Raises errors that are no rejections."""
    if thing.is_bounded:
        longest = seconds_of(thing, family.make(1), family.make(thing.most))
        return Growth(family.name, ((thing.most, longest),), longest > AT_ONCE)
    times = _first_times(thing, family, min(most, thing.most))
    if not times:
        return Growth(family.name, ())
    first = min(times)
    for size in (2 * first, 4 * first):
        if size > thing.most:
            break
        if size not in times:
            times[size], _ = _once(thing, family.make(size))
        if times[size] > MOST_GROWTH * times[size // 2]:
            _measure_again(thing, family, times, size)
        if times[size] > MOST_GROWTH * times[size // 2] and _grows_on(thing, family, times, size):
            return Growth(family.name, tuple(sorted(times.items())), not _is_rejected(thing, family, times, size))
    largest = max(times)
    if largest < LARGE <= thing.most and times[largest] / largest * LARGE > SLOWEST:
        # Linear work can take long too: the input has to be rejected.
        times[LARGE], _ = _once(thing, family.make(LARGE))
    largest = max(times)
    for _ in range(BEST_OF):
        if times[largest] <= SLOWEST * slowness():
            break
        times[largest] = min(times[largest], _once(thing, family.make(largest))[0])
    is_slow = times[largest] > SLOWEST * slowness()
    return Growth(family.name, tuple(sorted(times.items())), is_slow)


def _grows_on(thing: Thing, family: Family, times: dict[int, float], size: int) -> bool:
    """Return true unless a following doubling is as it should be.

    Fast growth goes on, and noise does not. The step at which inputs no longer fit into a cache may last for two
    doublings: so as long as one is slower than it should be, but faster than `SQUARE`, the next one is measured too. If
    there is no larger input, the time of the largest one counts instead.
    """
    growth = MOST_GROWTH
    while growth < SQUARE:
        following = 2 * size
        if following > thing.most:
            return times[size] > AT_ONCE
        times[following], _ = _once(thing, family.make(following))
        if times[following] > MOST_GROWTH * times[size]:
            _measure_again(thing, family, times, following)
        growth = times[following] / times[size]
        if growth > MOST_GROWTH:
            growth /= _slowing_of_memory(family, following)
        if growth <= MOST_GROWTH:
            return False
        size = following
    return True


def _slowing_of_memory(family: Family, size: int) -> float:
    """Return how many times longer each byte of this input takes to copy than each of its half; at least 1.

    What doesn't fit into the caches that other processes use, too, is read more slowly.
    """
    half, whole = (min(_seconds_of_reading(family.make(each)) for _ in range(BEST_OF)) for each in (size // 2, size))
    return max(1.0, whole / (2 * half))


def _seconds_of_reading(given: Any) -> float:
    before = thread_time()
    # Of what it can't write, nothing is known, and nothing is excused.
    with suppress(ValueError):
        marshal.loads(marshal.dumps(given))
        return thread_time() - before
    return 1.0


def _is_rejected(thing: Thing, family: Family, times: dict[int, float], size: int) -> bool:
    """Return true if a bound rejects larger inputs before they take long.

    What is rejected for another reason, after work that grows as before, isn't bounded.
    """
    rejected, soon = False, SOON * slowness()
    while size <= thing.most and times.get(size // 2, 0) < soon:
        times[size], rejected = _once(thing, family.make(size))
        if rejected and times[size] <= max(SHORTEST, MOST_GROWTH * times.get(size // 2, 0)):
            return times[size] < soon
        size *= 2
    return rejected and times[size // 2] < soon


def _first_times(thing: Thing, family: Family, most: int) -> dict[int, float]:
    """The first size that takes long enough, with its time, and those of larger ones met on the way to it."""
    size = min(thing.smallest, most)
    _once(thing, family.make(1))  # What is made at the first call isn't the input's.
    while (seconds := _once(thing, family.make(size))[0]) < SHORTEST:
        if size == most:
            return {}
        size = min(4 * size, most)
    times = {size: seconds}
    while size > SMALLEST and (seconds := _once(thing, family.make(size // 2))[0]) >= SHORTEST:
        size //= 2
        times[size] = seconds
    return times


def _measure_again(thing: Thing, family: Family, times: dict[int, float], size: int) -> None:
    """Measure two sizes until their growth is as it should be, or the best of five is known."""
    for _ in range(BEST_OF - 1):
        for each in (size // 2, size):
            times[each] = min(times[each], _once(thing, family.make(each))[0])
        if times[size] <= MOST_GROWTH * times[size // 2]:
            return


def _once(thing: Thing, given: Any) -> tuple[float, bool]:
    """Return the seconds that the thing takes, and true if it rejects the input."""
    rejected = False
    before = thing.clock()
    try:
        thing.run(given)
    except REJECTIONS:
        rejected = True
    return thing.clock() - before, rejected


@_without_collections()
def seconds_of(thing: Thing, warming: Any, given: Any) -> float:
    """Return the seconds of an input, the best of three if the first takes too long."""
    _once(thing, warming)
    seconds = _anew(thing, given)
    for _ in range(2):
        if seconds >= AT_ONCE:
            seconds = min(seconds, _anew(thing, given))
    return seconds


def _anew(thing: Thing, given: Any) -> float:
    """Return the seconds of an input for which no pattern is kept: Python keeps those that an input has made."""
    re.purge()
    return _once(thing, given)[0] / slowness()


def slowness() -> float:
    """How many times slower this processor is now than it is with nothing else to do; at least 1.

    Processor time depends on what else runs: on the same core, and in the same caches.
    """
    before = thread_time()
    sum([len([number]) for number in range(_REFERENCE)])
    return max(1.0, (thread_time() - before) / _REFERENCE_TIME)
