"""The records that a run leaves, one file of JSON lines for each kind, and how they are written and read.

All times are seconds of this machine's monotonic clock, which all its processes share and which nobody sets. The judge
reads nothing but these files, so that it can judge a run again, and so that its tests can write a run of their own.
"""

import threading
from pathlib import Path
from typing import Final, TypeVar

import msgspec

Place = list[int | str]
"""The place of a step in its execution: `[2]` is after `[1]`; `[3, "left", 2]` is after `[3, "left", 1]` and beside
`[3, "right", 1]`, with which it may run at the same time."""

#: The kinds of disturbances.
KILL: Final = "kill"
PAUSE: Final = "pause"
CUT: Final = "cut"
CUT_QUEUE: Final = "cut queue"
SLOW: Final = "slow"
SLOW_QUEUE: Final = "slow queue"
RESTART: Final = "restart"
CLOCK: Final = "clock"
EXIT: Final = "exit"

#: The code of a request whose connection was refused.
NOT_SENT: Final = "not sent"

#: Targets of disturbances besides nodes and NATS servers: the database server, and the link to the SQL sink.
POSTGRES: Final = "postgres"
BOOKS: Final = "books"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a sender to send a message."""

    message: str
    flow: str
    line: str | None
    """Its order key; None if its flow has none."""
    node: str
    status: int
    """0 if there was no response."""
    execution: str | None
    parts: int = 0
    """The items of its list, each of which `orders` sends to the HTTP sink."""
    code: str = ""
    """Of a response that isn't 200 or 202: the code of its problem, or `NOT_SENT`."""
    detail: str = ""
    started: float
    ended: float


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to send the callback for which an execution waits."""

    execution: str
    step: str
    """The step that waits for it."""
    node: str
    value: str
    status: int
    detail: str = ""
    started: float
    ended: float


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request that reached the HTTP sink."""

    key: str
    """Its `Idempotency-Key`."""
    message: str
    execution: str
    step: str
    place: Place
    value: str | None
    """What the message says that the callback brought."""
    edition: int | None = None
    """The edition of the flow that made it; None if the flow has no editions."""
    node: str | None
    """The node whose process sent it; None if that process was gone before it could be found out."""
    life: int
    """The process of that node, counted from 1."""
    status: int
    """The response, which takes effect if it is 200."""
    started: float
    ended: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the SQL sink."""

    number: int
    """Given by a sequence in the transaction of the insert, so rows of one line ascend in the order of commits."""
    message: str
    execution: str
    line: str | None
    mark: str
    place: Place
    edition: int | None = None
    """As that of a call."""
    at: float


class Disturbance(msgspec.Struct, frozen=True, kw_only=True):
    """A fault as it took place."""

    kind: str
    target: str
    """A node, a NATS server, `POSTGRES` or `BOOKS`."""
    detail: str = ""
    started: float
    ended: float


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to deploy another edition of some flows, all of them at once."""

    edition: int
    """Each attempt has one of its own, greater than those before."""
    node: str
    status: int
    pending: list[str] = []
    """The nodes that may still act by the edition before, as the response names them."""
    detail: str = ""
    started: float
    ended: float


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """The version of a flow that a node serves after the run."""

    node: str
    flow: str
    version: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as the admin API shows it after the run, whether it has ended or not."""

    id: str
    flow: str
    state: str
    error: str | None
    parent: str | None
    """The execution that called it."""
    message: str | None
    """None if it has not ended: the API shows the messages of ended executions."""
    node: str | None = None


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of executions, as the database has it."""

    execution: str
    table: str
    """The partition: that of the executions that have not ended, or one of the history."""


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """An id that a sender got, under which the admin API shows an execution that was accepted before."""

    alias: str
    execution: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the journal, as the database has it."""

    execution: str
    seq: int
    path: str
    state: str
    attempt: int
    node: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was asked for, and what is needed to read its records."""

    seed: int
    nodes: int
    queue: str
    server: str
    seconds: float


Record = Request | Callback | Call | Row | Disturbance | Deployment | Served | Ended | Stored | Alias | Entry | Run
R = TypeVar("R", bound=msgspec.Struct)


def _file(folder: Path, kind: type[msgspec.Struct]) -> Path:
    return folder / f"{kind.__name__.lower()}.jsonl"


class History:
    """Appends records to the files of a folder, from any thread; each is in its file when `add` returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, *records: Record) -> None:
        with self._lock:
            for record in records:
                with _file(self.folder, type(record)).open("ab") as file:
                    file.write(msgspec.json.encode(record) + b"\n")


def read(folder: Path, kind: type[R]) -> list[R]:
    """Return the records of a kind, in the order in which they were added."""
    file = _file(folder, kind)
    if not file.exists():
        return []
    return [msgspec.json.decode(line, type=kind) for line in file.read_bytes().splitlines()]
