"""The queues of order keys, of which the first execution may run.

The place of an execution is the column `order_seq`, and only the first one is ever ready. So waiting executions cost
the feeds nothing, and a restart changes nothing. Places are counted in the row of the queue. A transaction that adds or
removes an execution locks that row first, so that of two messages the one that is committed first goes first.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from sqlalchemy import Connection

from hookline.api_storage import Accepted
from hookline_sqlstore.dialect import Dialect, Row, Statement
from hookline_sqlstore.writing import statements
from hookline_sqlstore.writing.accepting import ACCEPT
from hookline_sqlstore.writing.prepared_commit import Commit, Operation

Line: TypeAlias = tuple[str, bytes]
"""A flow's id, and an order key."""

_LEAVING: Final = (statements.ADVANCE, statements.REOPEN)
_ORDER_KEY, _ACCEPT_PLACE, _REOPEN_PLACE = 6, 7, 2


class Lines:
    """The queues that some commits change; they are locked, in their order, when this is made."""

    def __init__(self, connection: Connection, dialect: Dialect, commits: Collection[Commit]) -> None:
        self._places: dict[int, int] = {}
        """The places of those that join, by the identity of the operation: an id may be accepted twice."""
        self._known: Mapping[str, Line] = {}
        """The queues of executions that join or leave them."""
        self._lines: Sequence[Line] = ()
        self._left: Collection[Line] = ()
        """Those that executions may leave."""
        self._settled: Collection[str] = ()
        """The executions that are alone in joining their queue: their insertion decided whether they wait."""
        operations = [(commit, operation) for commit in commits for operation in commit.operations]
        self._accepts = [
            (commit, one) for commit, one in operations if one.statement is ACCEPT and one.row[_ORDER_KEY] is not None
        ]
        accepts = [one for _, one in self._accepts]
        others = [one for _, one in operations if one.statement in _LEAVING]
        if not accepts and not others:
            return
        # Those of ended executions are looked for in the whole history, so only if they join a queue again.
        leaving = {one.row[0] for one in others if not _joins(one)}
        coming = {one.row[0] for one in others if _joins(one)}
        known = {
            **_lines_of(connection, dialect, statements.LINES_OF, leaving),
            **_lines_of(connection, dialect, statements.LINES_OF_ENDED, coming),
        }
        joining = list(_joining((one for _, one in operations), known))
        self._known = {**{one.row[0]: line for one, line in joining}, **known}
        wanted = Counter(line for _, line in joining)
        queued = {accepted.envelope.execution_id for commit in commits for accepted in commit.accepts}
        self._settled = {one.row[0] for one, line in joining if wanted[line] == 1}.intersection(queued)
        self._left = frozenset(known.values())
        self._lines = sorted({*wanted, *self._left})
        if not self._lines:
            return
        locked = dialect.read(connection, statements.LINES, [(*line, wanted[line]) for line in self._lines])
        last = {(flow_id, bytes(key)): place - wanted[flow_id, bytes(key)] for flow_id, key, place in locked}
        for operation, line in joining:
            last[line] += 1
            self._places[id(operation)] = last[line]

    def placed(self, operation: Operation) -> Row:
        """Return the row of an operation, with its place if it joins a queue."""
        row: Row = operation.row
        place = self._places.get(id(operation)) if self._places else None
        if place is None:
            return row
        at = _ACCEPT_PLACE if operation.statement is ACCEPT else _REOPEN_PLACE
        return (*row[:at], place, *row[at + 1 :])

    def unsettled(self, operations: Iterable[Operation]) -> Sequence[Operation]:
        """Return those operations of HOLD whose executions may not be the first of their queue."""
        return [one for one in operations if one.row[0] not in self._settled]

    def left(self, operations: Iterable[Operation]) -> Sequence[Line]:
        """Return the queues that the executions of these operations leave."""
        return sorted({self._known[one.row[0]] for one in operations if one.row[0] in self._known})

    def drop_empty(self, connection: Connection, dialect: Dialect, *, all_applied: bool) -> None:
        """Delete the queues that have no execution any more. `all_applied`: no commit was undone.

        A queue that an execution has joined is not asked for, unless another one may have left it.
        """
        joined = {
            self._known[one.row[0]]
            for commit, one in self._accepts
            if all_applied and isinstance(commit.results[one.change], Accepted)
        }
        left = [line for line in self._lines if line not in joined or line in self._left]
        if left:
            dialect.write(connection, statements.DROP_LINES, left)


def _joining(operations: Iterable[Operation], known: Mapping[str, Line]) -> Iterator[tuple[Operation, Line]]:
    """Yield the operations that join a queue, in the order in which they get their places: that of the commits."""
    for one in operations:
        if one.statement is ACCEPT and one.row[_ORDER_KEY] is not None:
            yield one, (one.row[1], one.row[_ORDER_KEY])
        elif _joins(one) and one.row[0] in known:
            yield one, known[one.row[0]]


def _joins(operation: Operation) -> bool:
    return operation.statement is statements.REOPEN


def _lines_of(
    connection: Connection, dialect: Dialect, statement: Statement, ids: Collection[str]
) -> Mapping[str, Line]:
    found = dialect.read(connection, statement, [(execution_id,) for execution_id in sorted(ids)]) if ids else ()
    return {execution_id: (flow_id, bytes(key)) for execution_id, flow_id, key in found}
