"""The faults of a run: a schedule that a seed decides, and their injection.

The schedule is made before the run, and is the same for the same seed and options. Faults may overlap, but a target has
one at a time. The kinds are dealt like cards, so that each comes before any comes again.
"""

import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from tests.chaos.cluster import Cluster, Node
from tests.chaos.history import (
    BOOKS,
    CLOCK,
    CUT,
    CUT_QUEUE,
    KILL,
    PAUSE,
    POSTGRES,
    RESTART,
    SLOW,
    SLOW_QUEUE,
    Disturbance,
    History,
)
from tests.chaos.proxy import Link


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault."""

    kind: str
    details: tuple[str, ...]
    """One of them is chosen."""
    seconds: tuple[float, float]
    """The shortest and the longest time that it lasts."""


#: Stand for any node, and for any NATS server.
_NODE: Final = "node"
_NATS: Final = "nats"

#: The cards of a run: targets and kinds. A lease of a node lasts 10 s: pauses and cuts are shorter and longer.
CARDS: Final = (
    (_NODE, Kind(KILL, ("kill -9",), (0.2, 6))),
    (_NODE, Kind(KILL, ("kill -9",), (0.2, 3))),
    (_NODE, Kind(PAUSE, ("SIGSTOP",), (2, 8))),
    (_NODE, Kind(PAUSE, ("SIGSTOP",), (11, 18))),
    (_NODE, Kind(CUT, ("closed", "silent"), (1, 6))),
    (_NODE, Kind(CUT, ("silent", "closed"), (11, 18))),
    (_NODE, Kind(SLOW, ("0.02", "0.1", "0.2"), (4, 12))),
    (_NODE, Kind(CLOCK, ("-3600", "+3600"), (5, 30))),
    (POSTGRES, Kind(RESTART, ("fast", "immediate"), (0.2, 5))),
    (BOOKS, Kind(CUT, ("closed", "silent"), (1, 8))),
)
#: With NATS servers, these come too.
QUEUE_CARDS: Final = (
    (_NATS, Kind(KILL, ("kill -9",), (0.5, 8))),
    (_NATS, Kind(KILL, ("kill -9",), (0.5, 8))),
    (_NATS, Kind(PAUSE, ("SIGSTOP",), (2, 12))),
    (_NODE, Kind(CUT_QUEUE, ("closed", "silent"), (1, 12))),
    (_NODE, Kind(SLOW_QUEUE, ("0.02", "0.1", "0.2"), (4, 12))),
)
_REST: Final = 0.5
"""Seconds between two faults of a target."""
_SHUTDOWNS: Final = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a schedule."""

    at: float
    """Seconds from the beginning."""
    seconds: float
    kind: str
    target: str
    detail: str

    def __str__(self) -> str:
        return f"{self.at:7.1f} s  {self.kind:<9} {self.target:<9} {self.detail:<10} for {self.seconds:.1f} s"


def schedule(
    seed: int, seconds: float, *, nodes: int, nats: int = 0, gap: float = 3.0, without: Sequence[str] = ()
) -> list[Fault]:
    """Return the faults that begin and end within a time, in order.

    `gap`: the mean time between their beginnings, in seconds. `without`: kinds to leave out.
    """
    chance = random.Random(f"faults {seed}")
    found: list[Fault] = []
    busy_until: dict[str, float] = {}
    counts = {_NODE: nodes, _NATS: nats}
    at = 1.0
    for target, kind in _cards(chance, without, queue=nats > 0):
        at += chance.uniform(0.2, 2 * gap - 0.2)
        candidates = [f"{target}{number}" for number in range(1, counts[target] + 1)] if target in counts else [target]
        free = [one for one in candidates if busy_until.get(one, 0.0) < at]
        if not free:
            free = [min(candidates, key=lambda one: busy_until[one])]
            at = busy_until[free[0]]
        chosen = chance.choice(free)
        lasts = min(chance.uniform(*kind.seconds), seconds - at)
        if lasts < kind.seconds[0]:
            if at >= seconds:
                break
            continue  # a shorter one may fit
        found.append(Fault(round(at, 1), round(lasts, 1), kind.kind, chosen, chance.choice(kind.details)))
        busy_until[chosen] = at + lasts + _REST
    return found


def _cards(chance: random.Random, without: Sequence[str], *, queue: bool) -> Iterator[tuple[str, Kind]]:
    every = [*CARDS, *QUEUE_CARDS] if queue else CARDS
    cards = [card for card in every if card[1].kind not in without]
    while cards:
        chance.shuffle(cards)
        yield from cards


class Injector:
    """Injects a schedule into a cluster, and writes down what took place."""

    def __init__(self, cluster: Cluster, history: History) -> None:
        self._cluster = cluster
        self._history = history
        self._nodes = {node.name: node for node in cluster.nodes}
        self._nats = {f"{_NATS}{number}": server for number, server in enumerate(cluster.nats, 1)}
        self._frozen: defaultdict[str, ExitStack] = defaultdict(ExitStack)
        """What lets a NATS server go on."""

    def run(self, faults: Sequence[Fault], seconds: float, say: Callable[[str], None]) -> None:
        """Return after a time, in which all faults begin and end; nodes that end by themselves are started again."""
        began = time.monotonic()
        events = [(fault.at, False, fault) for fault in faults]
        events += [(fault.at + fault.seconds, True, fault) for fault in faults]
        started: dict[Fault, float] = {}
        for at, over, fault in sorted(events, key=lambda event: event[:2]):
            self._wait(began + at)
            if not over:
                say(str(fault))
                started[fault] = time.monotonic()
                self._begin(fault)
                continue
            self._end(fault)
            self._history.add(
                Disturbance(
                    kind=fault.kind,
                    target=fault.target,
                    detail=fault.detail,
                    started=started[fault],
                    ended=time.monotonic(),
                )
            )
        self._wait(began + seconds)

    def _wait(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(0.2, left))
            self._cluster.tend()

    def _begin(self, fault: Fault) -> None:
        node = self._nodes.get(fault.target)
        match fault.kind:
            case "kill":
                (node or self._nats[fault.target]).kill()
            case "pause" if node is not None:
                node.pause()
            case "pause":
                self._frozen[fault.target].enter_context(self._nats[fault.target].frozen())
            case "cut" | "cut queue":
                for link in self._links(fault, node):
                    link.close() if fault.detail == "closed" else link.silence()
            case "slow" | "slow queue":
                for link in self._links(fault, node):
                    link.slow(float(fault.detail))
            case "clock" if node is not None:
                node.set_clock(int(fault.detail))
            case "restart":
                self._cluster.postgres.halt(_SHUTDOWNS[fault.detail])
            case _:
                raise ValueError(f"there is no such fault: {fault}")

    def _end(self, fault: Fault) -> None:
        node = self._nodes.get(fault.target)
        match fault.kind:
            case "kill":
                self._nats[fault.target].start() if node is None else node.launch()
            case "pause" if node is not None:
                node.go_on()
            case "pause":
                self._frozen[fault.target].close()
            case "cut" | "cut queue" | "slow" | "slow queue":
                for link in self._links(fault, node):
                    link.heal()
            case "clock" if node is not None:
                node.set_clock(0)
            case "restart":
                self._cluster.postgres.launch()

    def _links(self, fault: Fault, node: Node | None) -> Sequence[Link]:
        if node is None:
            return [self._cluster.books_link]
        return node.queue_links if fault.kind in (CUT_QUEUE, SLOW_QUEUE) else [node.link]
