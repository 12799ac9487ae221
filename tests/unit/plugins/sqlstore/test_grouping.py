"""Batches that share a transaction: grouped by statement, in order where order counts."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.model.execution import Outcome, State
from hookline.storage.change_declarations import Accept, Change, End, Park, RecordSteps, Resume, Start, Unblock
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore import dialect
from hookline_sqlstore.column_values import micros, moment
from hookline_sqlstore.writing import statements
from hookline_sqlstore.writing.commit_application import stages
from hookline_sqlstore.writing.prepared_commit import prepare_commit as batch

NOW = ManualClock().now()
ENVELOPES = Envelopes(ManualClock())


def test_the_same_changes_of_many_callers_are_one_statement_each() -> None:
    lives: list[list[Change]] = [
        [Start(f"e{number}", "v1", NOW), RecordSteps(f"e{number}", (ENVELOPES.record(1), ENVELOPES.record(2)))]
        for number in range(32)
    ]
    made = stages([batch(changes) for changes in lives])
    assert [(statement, len(operations)) for statement, operations in made] == [
        (statements.START, 32),
        (statements.RECORD, 64),
    ]


_ids = st.sampled_from(["a", "b", "c"])
_changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Start, _ids, st.just("v1"), st.just(NOW)),
    st.builds(Resume, _ids, st.just(NOW)),
    st.builds(lambda id_, seq: RecordSteps(id_, (ENVELOPES.record(seq),)), _ids, st.integers(1, 9)),
    st.builds(Park, _ids, st.just(NOW), st.none(), st.just("x")),
    st.builds(End, _ids, st.just(State.FAILED), st.just(Outcome.FAILED), st.just(NOW)),
    st.builds(Unblock, st.just("orders"), st.just(NOW)),
)


@given(st.lists(st.lists(_changes, max_size=5), max_size=8))
def test_changes_of_one_execution_keep_their_order_and_none_is_lost(batches: list[list[Change]]) -> None:
    made = [batch(changes) for changes in batches]
    given_order = [operation for one in made for operation in one.operations]
    applied = [operation for _, operations in stages(made) for _, operation in operations]
    assert sorted(map(id, applied)) == sorted(map(id, given_order))
    place = {
        id(operation): number for number, (_, operations) in enumerate(stages(made)) for _, operation in operations
    }
    seen: dict[str, int] = defaultdict(lambda: -1)
    highest = barrier = -1
    for operation in given_order:
        at = place[id(operation)]
        if not operation.key:
            assert at > highest
            barrier = at
        else:
            same_statement_may_repeat = operation.statement.repeated and at == seen[operation.key]
            assert at > seen[operation.key] or same_statement_may_repeat
            assert at > barrier
            seen[operation.key] = at
        highest = max(highest, at)


def test_what_ends_without_an_order_key_looks_for_no_successor() -> None:
    ending = End("a", State.SUCCEEDED, Outcome.COMPLETED, NOW, waited=False)
    ordered = [one.statement for one in batch([ending]).operations]
    assert ordered == [statements.END, statements.ADVANCE]
    assert [one.statement for one in batch([replace(ending, ordered=False)]).operations] == [statements.END]


def test_a_message_that_cant_be_stored_fails_before_anything_is() -> None:
    with pytest.raises(ValueError, match="entry 1 of execution e1"):
        batch([RecordSteps("e1", (ENVELOPES.record(1, output=b"[1]"),))])
    envelope = ENVELOPES.make(key="lone \ud800 surrogate")
    with pytest.raises(UnicodeEncodeError):
        batch([Accept(envelope)])


@given(st.datetimes(datetime(1900, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC)))
def test_times_are_exact_to_the_microsecond(at: datetime) -> None:
    assert moment(micros(at)) == at


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    east = NOW.astimezone(tz=None) + timedelta(0)
    assert micros(east) == micros(NOW)


@pytest.mark.parametrize("rows", [1, 2, 3, 31, 32, 33])
def test_a_statement_takes_any_number_of_rows(rows: int) -> None:
    columns = len(statements.START.columns)
    given = [("x", "v1", b"{}", number, None, False) for number in range(rows)]
    text, values = dialect.filled(statements.START, given)
    assert text.count("?") == len(values) == columns * (1 << (rows - 1).bit_length())
    assert values[: rows * columns] == tuple(value for row in given for value in row)
    assert set(values[rows * columns :]) <= {None}
