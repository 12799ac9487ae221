"""A history in which everything is right: messages of each flow and a deployment, on two nodes, without a fault."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
)
from tests.chaos.judge.evidence import Evidence

#: The steps of an order in the HTTP sink: name, place, seconds after the beginning of the execution.
_ORDER_CALLS: tuple[tuple[str, Place, float], ...] = (
    ("check", [1], 0.1),
    ("part", [2, "part 0", 1], 0.3),
    ("part", [2, "part 1", 1], 0.3),
    ("before_pause", [3, "left", 1], 0.5),
    ("after_pause", [3, "left", 2], 2.7),
    ("ask", [4], 3.0),
    ("done", [5], 3.5),
    ("closed", [6], 3.8),
)


#: The steps and marks of the flows that aren't deployed during the run.
_WITHOUT_EDITION = ("wrap", "parcel", "memo", "kept", "hold", "held")


@dataclass
class History:
    """The records of a run, which a test changes before it has them judged."""

    requests: list[Request] = field(default_factory=list)
    callbacks: list[Callback] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    disturbances: list[Disturbance] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    executions: list[Ended] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    aliases: list[Alias] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def evidence(self) -> Evidence:
        run = Run(seed=0, nodes=2, queue="none", server="hypercorn", seconds=60)
        return Evidence(
            run=run,
            requests=self.requests,
            callbacks=self.callbacks,
            calls=self.calls,
            rows=self.rows,
            disturbances=self.disturbances,
            deployments=self.deployments,
            served=self.served,
            executions=self.executions,
            stored=self.stored,
            aliases=self.aliases,
            entries=self.entries,
        )

    def call(self, execution: str, step: str) -> Call:
        """The first call of a step."""
        return next(one for one in self.calls if (one.execution, one.step) == (execution, step))

    def disturb(self, kind: str, target: str, started: float, ended: float) -> None:
        self.disturbances.append(Disturbance(kind=kind, target=target, started=started, ended=ended))

    def _other(self) -> str:
        """The requests go to the nodes in turn."""
        return f"node{len(self.requests) % 2 + 1}"

    def request(self, message: str, flow: str, line: str | None, status: int, at: float, **more: Any) -> None:
        given = {"execution": f"e-{message}" if status in (200, 202) else None, **more}
        self.requests.append(
            Request(
                message=message,
                flow=flow,
                line=line,
                node=self._other(),
                status=status,
                started=at,
                ended=at + 0.1,
                **given,
            )
        )

    def _call(
        self, execution: str, message: str, step: str, place: Place, at: float, node: str, takes: float = 0.05
    ) -> None:
        self.calls.append(
            Call(
                key=f"{execution} {place}",
                message=message,
                execution=execution,
                step=step,
                place=place,
                value={"done": f"yes to {message}", "closed": f"sure of {message}"}.get(step),
                node=node,
                life=1,
                status=200,
                edition=self._edition(step),
                started=at,
                ended=at + takes,
            )
        )

    def _edition(self, name: str) -> int | None:
        """Two flows have editions: that of the last deployment."""
        return None if name in _WITHOUT_EDITION else max((one.edition for one in self.deployments), default=0)

    def _row(self, execution: str, message: str, line: str | None, mark: str, place: Place, at: float) -> None:
        self.rows.append(
            Row(
                number=len(self.rows) + 1,
                message=message,
                execution=execution,
                line=line,
                mark=mark,
                place=place,
                edition=self._edition(mark),
                at=at,
            )
        )

    def _end(self, execution: str, flow: str, message: str, parent: str | None, paths: Sequence[str]) -> None:
        self.executions.append(
            Ended(id=execution, flow=flow, state="succeeded", error=None, parent=parent, message=message)
        )
        self.stored.append(Stored(execution=execution, table="executions_1"))
        self.entries += [
            Entry(execution=execution, seq=number, path=path, state="succeeded", attempt=1)
            for number, path in enumerate(paths, 1)
        ]

    def _callback(self, execution: str, step: str, value: str, at: float) -> None:
        self.callbacks.append(
            Callback(execution=execution, step=step, node="node1", value=value, status=202, started=at, ended=at + 0.1)
        )

    def order(self, message: str, line: str, sent: float, began: float, node: str) -> None:
        """An order that is sent at a time, and runs from another time on for four seconds."""
        execution, parcel = f"e-{message}", f"p-{message}"
        self.request(message, "orders", line, 202, sent, parts=2)
        self._row(execution, message, line, "begin", [0], began)
        for step, place, after in _ORDER_CALLS:
            self._call(execution, message, step, place, began + after, node)
        self._call(parcel, message, "wrap", [1], began + 0.6, node)
        self._row(parcel, message, None, "parcel", [2], began + 0.7)
        self._callback(execution, "approve", f"yes to {message}", began + 3.1)
        self._callback(execution, "confirm", f"sure of {message}", began + 3.6)
        self._row(execution, message, line, "end", [7], began + 4)
        self._end(parcel, "parcels", message, execution, ["wrap", "parcel"])
        paths = ["begin", "check", "parts[0]/part", "parts[1]/part", "parts", "left/before_pause"]
        self._end(execution, "orders", message, None, [*paths, "ask", "approve", "done", "confirm", "closed", "end"])

    def note(self, message: str, sent: float, node: str) -> None:
        self.request(message, "notes", None, 202, sent)
        self._short("notes", message, ("note", "noted"), sent, node)

    def memo(self, message: str, sent: float, node: str, *, execution: str | None = None, status: int = 202) -> None:
        """`status`: that of the response, which may be another one although the message is stored."""
        self.request(message, "memos", None, status, sent)
        self._short("memos", message, ("memo", "kept"), sent, node, execution)

    def pair(self, message: str, sent: float, node: str) -> None:
        self.request(message, "pairs", None, 202, sent)
        self._short("pairs", message, ("hold", "held"), sent, node, takes=0.8)

    def _short(
        self,
        flow: str,
        message: str,
        steps: tuple[str, str],
        sent: float,
        node: str,
        execution: str | None = None,
        takes: float = 0.05,
    ) -> None:
        """An execution of a flow that makes a call and inserts a row."""
        own = execution or f"e-{message}"
        self._call(own, message, steps[0], [1], sent + 0.2, node, takes)
        self._row(own, message, None, steps[1], [2], sent + 0.2 + takes + 0.1)
        self._end(own, flow, message, None, steps)

    def deploy(self, edition: int, at: float, status: int = 200, pending: Sequence[str] = ()) -> None:
        self.deployments.append(
            Deployment(edition=edition, node="node1", status=status, pending=list(pending), started=at, ended=at + 0.5)
        )

    def serve(self, node: str, version: str) -> None:
        self.served.append(Served(node=node, flow="notes", version=version))


def right_history() -> History:
    """Order `a` runs from 10 to 14 on node1, order `b` of the same line from 15 to 19 on node2, and the note at 20.

    An edition is deployed at 24. A memo and two of a pair at a time come after it, and a note at 30.
    """
    made = History()
    made.order("a", "line", sent=9.5, began=10, node="node1")
    made.order("b", "line", sent=9.8, began=15, node="node2")
    made.note("n", sent=20, node="node1")
    made.deploy(1, at=24)
    made.memo("m", sent=25, node="node1")
    made.pair("p1", sent=26, node="node1")
    made.pair("p2", sent=26.1, node="node2")
    made.pair("p3", sent=27, node="node2")
    made.note("o", sent=30, node="node2")
    made.serve("node1", "v1")
    made.serve("node2", "v1")
    return made
