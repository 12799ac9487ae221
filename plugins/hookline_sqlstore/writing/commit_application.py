"""The application of commits: the one place where the tables are written, for both databases.

Commits of several callers share a transaction. Operations of one kind are grouped into one statement, as far as the
operations of one execution keep their order. If a statement changes fewer rows than it was given, a change was illegal:
then the group is repeated commit by commit, each in a savepoint, so that only the faulty commit fails.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import DBAPIError

from hookline.api import StoreError
from hookline.api_storage import (
    Accepted,
    Duplicate,
    ExecutionNotFound,
    IllegalStateChange,
    VersionOutdated,
    fault,
)
from hookline_sqlstore.dialect import Dialect, Row, SqliteDialect, Statement
from hookline_sqlstore.tables import executions, served_flows
from hookline_sqlstore.writing import statements
from hookline_sqlstore.writing.accepting import (
    ACCEPT,
    ACCEPT_ALL,
    check_once,
    clashes,
    insert_messages,
    is_later,
    is_over,
    is_plain,
    release_spent_keys,
    without_key,
)
from hookline_sqlstore.writing.order_places import Lines
from hookline_sqlstore.writing.prepared_commit import Commit, Operation

Failure: TypeAlias = StoreError | IllegalStateChange | ExecutionNotFound
_Stage: TypeAlias = tuple[Statement, list[tuple[Commit, Operation]]]


class _Short(Exception):
    """A statement changed fewer rows than it was given."""


def apply(connection: Connection, dialect: Dialect, commits: Sequence[Commit]) -> list[Failure | None]:
    """Apply commits in one transaction; return the failure of each, or None if it is durable.

    A durable commit holds the results of its changes. Raises `sqlalchemy.exc.DBAPIError` or `sqlite3.Error` if the
    whole transaction failed: then nothing is known to be durable.
    """
    points = {operation.statement.name for commit in commits for operation in commit.operations}
    if any(commit.started for commit in commits):
        points.add(statements.START.name)
    if _accept_plain(connection, dialect, commits, points):
        return [None] * len(commits)
    # A database that is locked is not asked twice.
    transaction = dialect.transaction(connection)
    try:
        with transaction:
            lines = _prepare(connection, dialect, commits)
            for statement, operations in stages(commits):
                _run(connection, dialect, statement, operations, lines)
            lines.drop_empty(connection, dialect, all_applied=True)
            fault(*(f"{point}.before_commit" for point in points))
    except (_Short, IllegalStateChange):
        pass
    except DBAPIError as error:
        if error.connection_invalidated or dialect.is_conflict(error):
            raise
    else:
        fault(*(f"{point}.after_commit" for point in points))
        return [None] * len(commits)

    with dialect.transaction(connection):
        lines = _prepare(connection, dialect, commits)
        failures = [_alone(connection, dialect, commit, lines) for commit in commits]
        lines.drop_empty(connection, dialect, all_applied=False)
        fault(*(f"{point}.before_commit" for point in points))
    fault(*(f"{point}.after_commit" for point in points))
    return failures


def _accept_plain(connection: Connection, dialect: Dialect, commits: Sequence[Commit], points: set[str]) -> bool:
    """Apply commits that only accept messages without keys and tags, in one statement; return false if that fails,
    or if they do something else: then nothing was applied."""
    operations = [(commit, operation) for commit in commits for operation in commit.operations]
    if (
        not isinstance(dialect, SqliteDialect)
        or any(operation.statement is not ACCEPT or not is_plain(operation.row) for _, operation in operations)
        or any(commit.tags for commit in commits)
    ):
        return False
    fault(*(f"{point}.before_commit" for point in points))
    if not dialect.write_alone(connection, ACCEPT_ALL, [operation.row for _, operation in operations]):
        return False
    fault(*(f"{point}.after_commit" for point in points))
    for commit, operation in operations:
        commit.results[operation.change] = Accepted(operation.row[0])
    return True


def _prepare(connection: Connection, dialect: Dialect, commits: Sequence[Commit]) -> Lines:
    """Lock what the commits change together with others: queues of order keys first, then executions."""
    lines = Lines(connection, dialect, commits)
    operations = [operation for commit in commits for operation in commit.operations]
    # A callback that another node stores is either seen by the statement that parks, or sees the parked execution.
    met = {operation.key for operation in operations if operation.statement in (statements.PARK, statements.CALL_BACK)}
    if met:
        dialect.lock_executions(connection, sorted(met))
    return lines


def stages(commits: Iterable[Commit]) -> list[_Stage]:
    """Group operations by statement. Operations with the same key keep their order, and so does everything around an
    operation without a key."""
    stages: list[_Stage] = []
    newest: dict[Statement, int] = {}
    last: dict[str, int] = {}
    floor = 0
    for commit in commits:
        for operation in commit.operations:
            statement, key, _, _ = operation
            # An operation about everything follows all others, and later ones follow it.
            earliest = max(floor, last.get(key, -1) + 1) if key else len(stages)
            place = newest.get(statement, -1)
            if place < earliest and not (statement.repeated and place >= floor and place == last.get(key)):
                place = newest[statement] = len(stages)
                stages.append((statement, []))
            if not key:
                floor = len(stages)
            stages[place][1].append((commit, operation))
            last[key] = place
    return stages


def _run(
    connection: Connection,
    dialect: Dialect,
    statement: Statement,
    operations: list[tuple[Commit, Operation]],
    lines: Lines,
) -> None:
    if statement is ACCEPT:
        _accept(connection, dialect, operations, lines)
        return
    if statement.procedure is not None:
        for commit, operation in operations:
            commit.results[operation.change] = statement.procedure(connection, operation.row)
        return
    if statement is statements.ADVANCE:
        # Reported with the first commit, since all share the transaction.
        rows = lines.left([operation for _, operation in operations])
        found = dialect.read(connection, statement, rows) if rows else ()
        operations[0][0].unblocked.extend({flow_id for (flow_id,) in found})
        return
    if statement is statements.HOLD:
        rows = [operation.row for operation in lines.unsettled(operation for _, operation in operations)]
        if rows:
            dialect.write(connection, statement, rows)
        return
    changed = dialect.write(connection, statement, [lines.placed(operation) for _, operation in operations])
    if statement.counted and changed != len(operations):
        raise _Short


def _accept(connection: Connection, dialect: Dialect, operations: list[tuple[Commit, Operation]], lines: Lines) -> None:
    """Insert messages. If one isn't inserted, its dedupe key is taken.

    If the window of that key is over, the key is released and the message is inserted after all. If the message has
    come before the one that has the key, and its own window was over by then, it is inserted without the key.
    """
    pending, keyless = operations, set[str]()
    while pending:
        placed = [lines.placed(operation) for _, operation in pending]
        rows = [without_key(row) if row[0] in keyless else row for row in placed]
        tags = [tag for commit, operation in pending for tag in commit.tags.get(operation.key, ())]
        missing = len(rows) - insert_messages(connection, dialect, rows, tags)
        taken = clashes(connection, dialect, rows) if missing else {}
        if missing != len(taken):
            raise _Short  # an id was accepted before; applying one by one shows which
        again: list[tuple[Commit, Operation]] = []
        spent: list[Row] = []
        for commit, operation in pending:
            clash = taken.get(operation.row[0])
            if clash is None:
                commit.results[operation.change] = Accepted(operation.row[0])
                continue
            if is_over(clash, operation.row):
                spent.append(operation.row)
            elif is_later(clash, operation.row):
                keyless.add(operation.row[0])
            else:
                commit.results[operation.change] = Duplicate(clash[1])
                continue
            again.append((commit, operation))
        if spent:
            release_spent_keys(connection, dialect, spent)
        pending = again
    new = [operation.key for commit, operation in operations if _is_new(commit, operation)]
    if new:
        check_once(connection, dialect, new)


def _is_new(commit: Commit, operation: Operation) -> bool:
    """Return true if a message from an intake queue was inserted."""
    return operation.key in commit.handed_over and isinstance(commit.results[operation.change], Accepted)


def _alone(connection: Connection, dialect: Dialect, commit: Commit, lines: Lines) -> Failure | None:
    """Apply one commit in a savepoint, one change at a time."""
    try:
        with connection.begin_nested():
            for operation in commit.operations:
                try:
                    _run(connection, dialect, operation.statement, [(commit, operation)], lines)
                except _Short:
                    _diagnose(connection, commit, operation)
    except (IllegalStateChange, ExecutionNotFound) as error:
        return error
    except DBAPIError as error:
        # If the whole transaction is undone, so are the earlier commits, and committing wouldn't report it.
        if error.connection_invalidated or dialect.is_conflict(error) or not dialect.in_transaction(connection):
            raise
        return StoreError(f"the database rejected a change: {error.orig}")
    return None


def _diagnose(connection: Connection, commit: Commit, operation: Operation) -> None:
    """Raise the reason why a change was illegal. A message that was accepted before isn't illegal, but a duplicate."""
    state = _state(connection, operation.row[0])
    if _is_outdated(connection, operation, state):
        raise VersionOutdated(f"execution {operation.key} can't start: its flow was deployed meanwhile")
    if state is None:
        raise ExecutionNotFound(f"there is no execution {operation.key}")
    if operation.statement is ACCEPT:
        commit.results[operation.change] = Duplicate(operation.row[0])
        return
    if operation.statement is statements.RECORD and state == "running":
        raise IllegalStateChange(f"the journal of execution {operation.key} has an entry {operation.row[1]} already")
    wanted = _WANTED.get(operation.statement) or f"it can't become {operation.row[1]}"
    raise IllegalStateChange(f"the state of execution {operation.key} is {state}: {wanted}")


_WANTED: Final = {
    statements.START: "only an execution that never ran can start",
    statements.RESUME: "only a waiting execution that wasn't moved to another version meanwhile can be resumed",
    statements.REBIND: "only a waiting execution that wasn't resumed meanwhile can be moved to another version",
    statements.RECORD: "only a running execution writes to its journal",
    statements.CHECKPOINT_ITEMS: "only a running execution makes progress",
    statements.PARK: "only a queued or running execution can be parked",
    statements.CANCEL: "it can't be cancelled any more",
    statements.REOPEN: "only a failed execution can be retried",
    statements.DISMISS_DEAD_LETTER: "only a failed execution that wasn't discarded before can be discarded",
    statements.USE_FILES: "its files were removed",
    statements.RELEASE_ORDER_KEY: "only a failed execution holds its key until it is released",
}

_STATE: Final = select(executions.c.state).where(executions.c.id == bindparam("id"))


def _state(connection: Connection, execution_id: str) -> str | None:
    found: str | None = connection.scalar(_STATE, {"id": execution_id})
    return found


_SERVED: Final = select(served_flows.c.version).where(served_flows.c.flow_id == bindparam("flow_id"))
_FLOW: Final = select(executions.c.flow_id).where(executions.c.id == bindparam("id"))


def _is_outdated(connection: Connection, operation: Operation, state: str | None) -> bool:
    """Return true if an execution can't start only because its flow isn't served by the version of the operation."""
    statement = operation.statement
    if (statement, state) not in _STARTS:
        return False
    row = dict(zip((name for name, _ in statement.columns), operation.row, strict=True))
    if not row["serving"]:
        return False
    flow_id = row["flow_id"] if state is None else connection.scalar(_FLOW, {"id": row["id"]})
    served: str | None = connection.scalar(_SERVED, {"flow_id": flow_id})
    return bool(served != row["flow_version"])


_STARTS: Final = {(ACCEPT, None), (statements.START, "queued"), (statements.START, "waiting")}
