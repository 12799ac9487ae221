"""Applies batches of changes: the one place where the tables are written, whatever the database.

What several callers commit shares a transaction. Operations of one kind go into one statement, as far as those about
one execution keep their order. A statement that changes fewer rows than it was given says that a change was illegal:
then the group is done again batch by batch, each behind a savepoint, so that only the batch at fault fails.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import DBAPIError

from hookline.api import StoreError
from hookline.api_storage import Accepted, Duplicate, ExecutionNotFound, IllegalStateChange, fault
from hookline_sqlstore.tables import executions
from hookline_sqlstore.writing import statements
from hookline_sqlstore.writing.operations import Batch, Operation
from hookline_sqlstore.writing.statements import Dialect, Row, Statement

Failure: TypeAlias = StoreError | IllegalStateChange | ExecutionNotFound
_Stage: TypeAlias = tuple[Statement, list[tuple[Batch, Operation]]]


class _Short(Exception):
    """A statement changed fewer rows than it was given."""


def apply(connection: Connection, dialect: Dialect, batches: Sequence[Batch]) -> list[Failure | None]:
    """Commit batches, in one transaction; give what went wrong with each, None where it is durable.

    The results of its changes are in each batch that is. Raises `sqlalchemy.exc.DBAPIError` where the transaction as a
    whole failed: then nothing is known to be durable.
    """
    points = {operation.statement.name for batch in batches for operation in batch.operations}
    try:
        with connection.begin():
            for statement, operations in stages(batches):
                _run(connection, dialect, statement, operations)
            fault(*(f"{point}.before_commit" for point in points))
    except _Short:
        pass
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
    else:
        fault(*(f"{point}.after_commit" for point in points))
        return [None] * len(batches)

    with connection.begin():
        failures = [_alone(connection, dialect, batch) for batch in batches]
        fault(*(f"{point}.before_commit" for point in points))
    fault(*(f"{point}.after_commit" for point in points))
    return failures


def stages(batches: Iterable[Batch]) -> list[_Stage]:
    """Group operations by statement; what is about one thing, and whatever follows what is about everything, keeps
    its order."""
    stages: list[_Stage] = []
    newest: dict[Statement, int] = {}
    last: dict[str, int] = {}
    floor = 0
    for batch in batches:
        for operation in batch.operations:
            statement, key, _, _ = operation
            # What is about everything follows all that there is, and nothing that comes later is put beside it.
            earliest = max(floor, last.get(key, -1) + 1) if key else len(stages)
            place = newest.get(statement, -1)
            if place < earliest and not (statement.repeated and place >= floor and place == last.get(key)):
                place = newest[statement] = len(stages)
                stages.append((statement, []))
            if not key:
                floor = len(stages)
            stages[place][1].append((batch, operation))
            last[key] = place
    return stages


def _run(
    connection: Connection, dialect: Dialect, statement: Statement, operations: list[tuple[Batch, Operation]]
) -> None:
    if statement is statements.ACCEPT:
        _accept(connection, dialect, operations)
        return
    if statement.procedure is not None:
        for batch, operation in operations:
            batch.results[operation.change] = statement.procedure(connection, operation.row)
        return
    if statement is statements.ADVANCE:
        # Told with the first of them: they share the transaction.
        found = dialect.read(connection, statement, [operation.row for _, operation in operations])
        operations[0][0].unblocked.extend({flow_id for (flow_id,) in found})
        return
    changed = dialect.write(connection, statement, [operation.row for _, operation in operations])
    if statement.counted and changed != len(operations):
        raise _Short


def _accept(connection: Connection, dialect: Dialect, operations: list[tuple[Batch, Operation]]) -> None:
    """Insert messages. One that isn't inserted has a key that is taken; where that key's window is over, it is released
    and the message inserted after all."""
    pending = operations
    while pending:
        rows = [operation.row for _, operation in pending]
        missing = len(rows) - dialect.write(connection, statements.ACCEPT, rows)
        clashes = _clashes(connection, dialect, rows) if missing else {}
        if missing != len(clashes):
            raise _Short  # an id was accepted before: only one by one is it plain which
        again: list[tuple[Batch, Operation]] = []
        expired: set[str] = set()
        for batch, operation in pending:
            clash = clashes.get(operation.row[0])
            if clash is None:
                batch.results[operation.change] = Accepted(operation.row[0])
            elif _over(clash, operation.row):
                again.append((batch, operation))
                expired.add(clash[1])
            else:
                batch.results[operation.change] = Duplicate(clash[1])
        if expired:
            dialect.write(
                connection, statements.EXPIRE_DEDUPE_KEY, [(execution_id,) for execution_id in sorted(expired)]
            )
        pending = again


def _clashes(connection: Connection, dialect: Dialect, rows: Sequence[Row]) -> dict[str, Any]:
    keyed = [(row[0], row[1], row[4]) for row in rows if row[4] is not None]
    return {found[0]: found for found in dialect.read(connection, statements.CLASHES, keyed)} if keyed else {}


def _over(clash: Any, row: Row) -> bool:
    """Whether the window of a key that is taken is over when a message with the same key is accepted."""
    until, accepted_at = clash[2], row[2]
    return until is not None and until <= accepted_at


def _alone(connection: Connection, dialect: Dialect, batch: Batch) -> Failure | None:
    """Apply one batch behind a savepoint, each change by itself."""
    try:
        with connection.begin_nested():
            for operation in batch.operations:
                try:
                    _run(connection, dialect, operation.statement, [(batch, operation)])
                except _Short:
                    _diagnose(connection, batch, operation)
    except (IllegalStateChange, ExecutionNotFound) as error:
        return error
    except DBAPIError as error:
        # Where the whole transaction is undone, what earlier batches did is too, and committing wouldn't say so.
        if error.connection_invalidated or not dialect.in_transaction(connection):
            raise
        return StoreError(f"the database rejected a change: {error.orig}")
    return None


def _diagnose(connection: Connection, batch: Batch, operation: Operation) -> None:
    """Say why a change didn't take place. Returns where a message was accepted before: that is a result."""
    state = _state(connection, operation.row[0])
    if state is None:
        raise ExecutionNotFound(f"there is no execution {operation.key}")
    if operation.statement is statements.ACCEPT:
        batch.results[operation.change] = Duplicate(operation.row[0])
        return
    if operation.statement is statements.RECORD and state == "running":
        raise IllegalStateChange(f"the journal of execution {operation.key} has an entry {operation.row[1]} already")
    wanted = _WANTED.get(operation.statement) or f"it can't become {operation.row[1]}"
    raise IllegalStateChange(f"execution {operation.key} is {state}; {wanted}")


_WANTED: Final = {
    statements.START: "only one that never ran can start",
    statements.RESUME: "only one that waits, and wasn't moved to another version meanwhile, can be resumed",
    statements.REBIND: "only one that waits, and hasn't gone on meanwhile, can be moved to another version",
    statements.RECORD: "only the journal of a running one is added to",
    statements.CHECKPOINT_ITEMS: "only one that runs gets on",
    statements.PARK: "only one that is queued or running can be parked",
    statements.CANCEL: "it has ended",
    statements.REOPEN: "only a failed one can be reopened",
    statements.DISMISS_DEAD_LETTER: "only a failed one that was not discarded before can be",
    statements.RELEASE_ORDER_KEY: "only a failed one holds its key until it is released",
}

_STATE: Final = select(executions.c.state).where(
    executions.c.id == bindparam("id"), executions.c.state != statements.PURGED
)


def _state(connection: Connection, execution_id: str) -> str | None:
    found: str | None = connection.scalar(_STATE, {"id": execution_id})
    return found
