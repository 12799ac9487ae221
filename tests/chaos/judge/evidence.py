"""The records of a run, as the rules of the judge look at them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from tests.chaos.history import (
    Alias,
    Call,
    Callback,
    Deployment,
    Disturbance,
    Ended,
    Entry,
    Place,
    Request,
    Row,
    Run,
    Served,
    Stored,
    read,
)

ACCEPTED: Final = (200, 202)
#: The marks that each execution of a flow leaves in the SQL sink, and the steps that it sends to the HTTP sink.
MARKS: Final[Mapping[str, tuple[str, ...]]] = {
    "orders": ("begin", "end"),
    "parcels": ("parcel",),
    "notes": ("noted",),
    "memos": ("kept",),
    "pairs": ("held",),
}
STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "orders": ("check", "before_pause", "after_pause", "ask", "done", "closed"),
    "parcels": ("wrap",),
    "notes": ("note",),
    "memos": ("memo",),
    "pairs": ("hold",),
}
PART: Final = "part"
"""The step of `orders` that is called for each item of the list of its message."""
CALLED: Final[Mapping[str, tuple[str, ...]]] = {"orders": ("parcels",)}
"""The flows that each execution of a flow calls, each of them once."""
WITHOUT_KEY: Final = frozenset({"memos"})
"""The flows without a dedupe key, whose messages are sent once."""
CONCURRENCY: Final[Mapping[str, int]] = {"pairs": 2}
"""The flows of which only some executions may run at a time."""
HOLDS: Final = "hold"
"""The step of these flows whose calls take their time."""
BROUGHT: Final[Mapping[str, str]] = {"done": "approve", "closed": "confirm"}
"""The steps that send on what a callback brought, and the steps that waited for it."""
PAUSE: Final = 2.0
"""Seconds of the step `pause` between `before_pause` and `after_pause`."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be."""

    rule: str
    """The promise or rule, and in a few words what broke it."""
    subject: str
    """The execution, message or node."""
    what: str
    at: float | None = None
    """When, in seconds of the monotonic clock."""


@dataclass(frozen=True)
class Evidence:
    """All records of a run, each kind in the order in which it was written."""

    run: Run
    requests: list[Request] = field(default_factory=list)
    callbacks: list[Callback] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    disturbances: list[Disturbance] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    executions: list[Ended] = field(default_factory=list)
    """As the admin API lists them."""
    stored: list[Stored] = field(default_factory=list)
    aliases: list[Alias] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    @cached_property
    def by_id(self) -> dict[str, Ended]:
        return {execution.id: execution for execution in self.executions}

    @cached_property
    def nodes(self) -> frozenset[str]:
        return frozenset(one.node for one in self.requests)

    @cached_property
    def _execution_of(self) -> dict[str, str]:
        return {one.alias: one.execution for one in self.aliases}

    def named_by(self, answer: str | None) -> str | None:
        """Return the id of the execution that an answer names, maybe by an alias."""
        return None if answer is None else self._execution_of.get(answer, answer)

    @cached_property
    def message_of(self) -> dict[str, str]:
        """The message of each execution: as the API shows it, or as the sender that got its id knows."""
        known = {id_: one.message for one in self.requests if (id_ := self.named_by(one.execution)) is not None}
        return known | {one.id: one.message for one in self.executions if one.message is not None}

    @cached_property
    def parts_of(self) -> dict[str, int]:
        """The number of items of each message."""
        return {one.message: one.parts for one in self.requests}

    @cached_property
    def calls_by_key(self) -> dict[str, list[Call]]:
        """The calls of each action, in the order of their beginning."""
        found: defaultdict[str, list[Call]] = defaultdict(list)
        for call in sorted(self.calls, key=lambda call: call.started):
            found[call.key].append(call)
        return dict(found)

    @property
    def sent_on(self) -> Iterator[Call | Row]:
        """The calls and the rows."""
        yield from self.calls
        yield from self.rows

    @cached_property
    def effects(self) -> dict[str, list[tuple[Place, float]]]:
        """The places of the calls and rows of each execution, with the times at which they took place."""
        found: defaultdict[str, list[tuple[Place, float]]] = defaultdict(list)
        for call in self.calls:
            found[call.execution].append((call.place, call.started))
        for row in self.rows:
            found[row.execution].append((row.place, row.at))
        return dict(found)

    @cached_property
    def beginning(self) -> float:
        """The time of the first request."""
        return min((one.started for one in self.requests), default=0.0)


def load(folder: Path) -> Evidence:
    """Read the history of a run."""
    return Evidence(
        run=read(folder, Run)[0],
        requests=read(folder, Request),
        callbacks=read(folder, Callback),
        calls=read(folder, Call),
        rows=read(folder, Row),
        disturbances=read(folder, Disturbance),
        deployments=read(folder, Deployment),
        served=read(folder, Served),
        executions=read(folder, Ended),
        stored=read(folder, Stored),
        aliases=read(folder, Alias),
        entries=read(folder, Entry),
    )


def follows(later: Place, earlier: Place) -> bool:
    """Whether a step begins only after another one has ended, since its place says so."""
    if later[0] != earlier[0]:
        return int(later[0]) > int(earlier[0])
    if len(later) == 1 or len(earlier) == 1 or later[1] != earlier[1]:
        return False
    return int(later[2]) > int(earlier[2])


def grouped(requests: Iterable[Request]) -> dict[str, list[Request]]:
    """The requests of each message, in order."""
    found: defaultdict[str, list[Request]] = defaultdict(list)
    for request in requests:
        found[request.message].append(request)
    return dict(found)
