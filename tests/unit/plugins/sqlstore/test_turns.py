"""The turns of order keys: whatever shares a transaction, only the first execution of a key may run, and it may."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import Connection, Row, create_engine, text

from hookline.model.execution import Outcome, State
from hookline.storage.change_declarations import (
    Accept,
    Cancel,
    Change,
    End,
    Park,
    ReleaseOrderKey,
    Reopen,
    Resume,
    Start,
)
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.dialect import SqliteDialect
from hookline_sqlstore.tables import executions
from hookline_sqlstore.writing.commit_application import apply
from hookline_sqlstore.writing.prepared_commit import prepare_commit

pytestmark = pytest.mark.rule(28)

GROUPS = 6
"""Transactions of one history."""


class Table:
    """The executions of a database in memory, changed by groups of commits that share a transaction."""

    def __init__(self, connection: Connection) -> None:
        self.clock = ManualClock()
        self.envelopes = Envelopes(self.clock)
        self._connection = connection

    def commit(self, *commits: Sequence[Change]) -> None:
        apply(self._connection, SqliteDialect(), [prepare_commit(changes) for changes in commits])
        self.check()

    def failed(self, order_key: str | None = None) -> str:
        """The id of an execution that has failed."""
        envelope, now = self.envelopes.make(order_key=order_key), self.clock.now()
        self.commit([Accept(envelope)])
        ended = End(envelope.execution_id, State.FAILED, Outcome.FAILED, now)
        self.commit([Start(envelope.execution_id, "v1", now), ended])
        return envelope.execution_id

    def rows(self) -> Sequence[Row]:
        found = self._connection.execute(
            text("SELECT id, state, ready_at, order_key, order_seq, discarded_at FROM executions ORDER BY order_seq")
        ).all()
        self._connection.commit()
        return found

    def check(self) -> None:
        """Of each key, the first may run unless it has failed and holds the key; the others wait."""
        lines: dict[bytes, list[Row]] = {}
        for row in self.rows():
            if row.order_seq is not None:
                lines.setdefault(row.order_key, []).append(row)
        for line in lines.values():
            turns = [row for row in line if row.state == "running" or row.ready_at is not None]
            assert turns == ([] if line[0].state == "failed" else line[:1])


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        executions.metadata.create_all(connection)
        connection.commit()
        yield connection
    engine.dispose()


@pytest.fixture
def table(connection: Connection) -> Table:
    return Table(connection)


def test_a_message_that_waits_for_its_spent_dedupe_key_keeps_its_turn(table: Table) -> None:
    table.commit([Accept(table.envelopes.make(key="e", window=timedelta(hours=1)))])
    table.clock.advance(7200)
    again, other = table.envelopes.make(key="e", order_key="a"), table.envelopes.make(order_key="a")
    table.commit([Accept(again)], [Accept(other)])


def test_a_message_that_is_accepted_beside_a_retry_has_one_turn_with_it(table: Table) -> None:
    other, retried, now = table.failed(), table.failed("a"), table.clock.now()
    messages = [table.envelopes.make(order_key=key) for key in ("b", "a")]
    table.commit([Reopen(other, now)], [Accept(messages[0])], [Reopen(retried, now)], [Accept(messages[1])])


def test_a_message_that_comes_twice_in_a_transaction_keeps_its_first_place(table: Table) -> None:
    first, second = table.envelopes.make(order_key="a"), table.envelopes.make(order_key="a")
    table.commit([Accept(first)], [Accept(second)], [Accept(first)])


@pytest.mark.parametrize("seed", range(0, 200, 50))
def test_every_history_leaves_the_turn_to_the_first(connection: Connection, seed: int) -> None:
    for one in range(seed, seed + 50):
        for name in ("executions", "lines", "dedupe_keys", "tags", "journal"):
            connection.execute(text(f"DELETE FROM {name}"))
        connection.commit()
        History(Table(connection), Random(one)).run()


class History:
    """Random commits, of which each changes other executions than the others of its transaction."""

    def __init__(self, table: Table, random: Random) -> None:
        self._table = table
        self._random = random
        self._accepted = [table.envelopes.make(order_key="a")]

    def run(self) -> None:
        for _ in range(GROUPS):
            self._table.clock.advance(self._random.choice((1, 10_000)))
            commits = list(self._commits())
            if commits:
                self._table.commit(*commits)

    def _commits(self) -> Iterator[Sequence[Change]]:
        rows = list(self._table.rows())
        self._random.shuffle(rows)
        for _ in range(self._random.randint(2, 7)):
            work = self._random.choice(("accept",) * 4 + ("begun", "undone", "twice", "twice", *("change",) * 6))
            if work != "change":
                yield self._acceptance(work)
            elif rows and (changes := self._changes(rows.pop())):
                yield changes

    def _acceptance(self, work: str) -> Sequence[Change]:
        random, now = self._random, self._table.clock.now()
        envelope = self._table.envelopes.make(
            key=random.choice((None, None, "e1", "e2")) if work != "begun" else None,
            window=timedelta(hours=1),
            order_key=random.choice((None, "a", "a", "b")),
            order_holds=random.random() < 0.4,
        )
        match work:
            case "twice":
                return [Accept(random.choice(self._accepted[-3:]))]
            case "begun":
                started = Start(envelope.execution_id, "v1", now)
                return [Accept(envelope, begun=True), started, Park(envelope.execution_id, now, now, "replay")]
            case "undone":
                return [Accept(envelope), Reopen("unknown", now)]
        self._accepted.append(envelope)
        return [Accept(envelope)]

    def _changes(self, row: Row) -> Sequence[Change]:
        """Changes that are legal for an execution; none for one that has succeeded, or that waits for its turn."""
        random, now = self._random, self._table.clock.now()
        start = Start(row.id, "v1", now) if row.state == "queued" else Resume(row.id, now)
        ended = random.choice(((State.SUCCEEDED, Outcome.COMPLETED), (State.FAILED, Outcome.FAILED)))
        match row.state, row.ready_at is not None:
            case "running", _:
                return [End(row.id, *ended, now)]
            case (("queued" | "waiting"), True):
                return random.choice(([start], [start, End(row.id, *ended, now)]))
            case "queued", False:
                return [Cancel(row.id, now)]
            case "failed", _ if row.order_seq is None:
                return [Reopen(row.id, now)]
            case "failed", _:
                return [random.choice((Reopen(row.id, now), ReleaseOrderKey(row.id, now)))]
        return []
