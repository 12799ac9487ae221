"""Pages of executions, and groups of dead letters.

Each kind of list follows an index in the order of ids. The other conditions are checked row by row; they are written so
that no database uses an index for them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, select, text, union_all

from hookline.api_storage import (
    FINAL,
    MAX_TAG,
    DeadLetterPage,
    DeadLetters,
    ErrorInfo,
    ExecutionFilter,
    Outcome,
    order_key_term,
)
from hookline_sqlstore.column_values import first_id, moment, storable
from hookline_sqlstore.paging import id_of
from hookline_sqlstore.tables import DEAD, LIVE, executions, tags

_OPEN: Final = and_(executions.c.finished_at.is_(None), LIVE)
_ENDED: Final = executions.c.finished_at.is_not(None)
_DEAD: Final = and_(text(DEAD), LIVE)
#: The newest ids that are searched for their ends.
_SEARCHED: Final = 100_000
_LENGTH: Final = 36
#: The most flows in one statement: SQLite joins at most 500 parts.
_TOGETHER: Final = 200


def ids(
    connection: Connection,
    chosen: ExecutionFilter,
    cursor: str | None,
    limit: int,
    open_flows: Callable[[Connection], Iterable[str]],
) -> list[str]:
    """Return a page of ids, newest first. `open_flows` returns the flows with executions that have not ended.

    Raises ValueError for an invalid cursor.
    """
    if cursor is not None:
        id_of(cursor)
    alone = chosen.outcome is chosen.error_code is chosen.cause is chosen.replay_of is chosen.tag is None
    alone = alone and chosen.order_key is None
    if not (alone and chosen.flow_id is None and chosen.state is not None and chosen.state not in FINAL):
        return list(connection.scalars(listing([chosen], cursor, limit)))
    # The primary key would lead through all ended executions to find the others, so this goes flow by flow.
    flows = sorted(open_flows(connection))
    found: list[str] = []
    for start in range(0, len(flows), _TOGETHER):
        parts = [replace(chosen, flow_id=flow_id) for flow_id in flows[start : start + _TOGETHER]]
        found += connection.scalars(listing(parts, cursor, limit))
    return sorted(found, reverse=True)[:limit]


def matching(connection: Connection, part: str, limit: int, flows: Collection[str] | None) -> list[str]:
    """Return ids that begin with a part of an id, or, of the newest ones, end with it; newest first.

    `flows`: only ids of executions of these flows; None for all.
    """
    own = executions.c.id
    # No id has a g, which sorts after all of its characters.
    begins = select(own).where(own >= part, own < f"{part}g").order_by(own.desc())
    newest = select(own).order_by(own.desc()).limit(_SEARCHED).subquery("newest")
    fits = func.substr(newest.c.id, _LENGTH + 1 - len(part)) == part
    ends = select(newest.c.id).where(fits).order_by(newest.c.id.desc())
    if flows is not None:
        begins, ends = (_of_flows(one.limit(_SEARCHED), flows) for one in (begins, ends))
    found = {*connection.scalars(begins.limit(limit)), *connection.scalars(ends.limit(limit))}
    return sorted(found, reverse=True)[:limit]


def _of_flows(ids: Select[tuple[str]], flows: Collection[str]) -> Select[tuple[str]]:
    """Those of some ids that are of executions of these flows, newest first."""
    own = executions.c.id
    return select(own).where(own.in_(ids), executions.c.flow_id.in_(flows)).order_by(own.desc())


def listing(filters: Sequence[ExecutionFilter], cursor: str | None, limit: int) -> Select[tuple[str]]:
    """The statement that merges the ids of several lists."""
    selected = [page for one in filters for page in _pages(one, cursor, limit)]
    if len(selected) == 1:
        return selected[0]
    found = union_all(*(select(one.subquery("part").c.id) for one in selected)).subquery("found")
    return select(found.c.id).order_by(found.c.id.desc()).limit(limit)


def _pages(chosen: ExecutionFilter, cursor: str | None, limit: int) -> Iterator[Select[tuple[str]]]:
    """Yield the lists that together have what a filter selects."""
    if chosen.cause is not None and chosen.flow_id is None:
        raise ValueError("a cause is one of a flow: say which flow")
    terms = _terms(chosen)
    if terms:
        yield _tagged(terms, chosen, cursor, limit)
    else:
        yield from (_page(list(part), chosen, cursor, limit) for part in _parts(chosen))


def _terms(chosen: ExecutionFilter) -> list[tuple[str, str]]:
    """The names and values in the table of tags that a filter asks for. Raises ValueError for a tag without a name."""
    terms = []
    if chosen.tag is not None:
        name, colon, value = chosen.tag.partition(":")
        if not (name and colon):
            raise ValueError("a tag is given as <name>:<value>")
        terms.append((name, storable(value[:MAX_TAG]) or ""))
    if chosen.order_key is not None:
        terms.append(("", storable(order_key_term(chosen.order_key)) or ""))
    return terms


def _tagged(
    terms: Sequence[tuple[str, str]], chosen: ExecutionFilter, cursor: str | None, limit: int
) -> Select[tuple[str]]:
    """The list of executions with tags: that of the first tag leads, in the order of ids."""
    (name, value), *others = terms
    conditions: list[ColumnElement[bool]] = [tags.c.name == name, tags.c.value == value]
    conditions += [
        exists().where(other.c.name == name, other.c.value == value, other.c.execution_id == tags.c.execution_id)
        for name, value in others
        if (other := tags.alias()) is not None
    ]
    conditions += _unled(chosen)
    page = _page(conditions, chosen, cursor, limit, tags.c.execution_id)
    return page.select_from(tags.join(executions, executions.c.id == tags.c.execution_id))


def _page(
    conditions: list[ColumnElement[bool]],
    chosen: ExecutionFilter,
    cursor: str | None,
    limit: int,
    newest: Any = executions.c.id,
) -> Select[tuple[str]]:
    if cursor is not None:
        conditions = [*conditions, newest < cursor]
    if chosen.since is not None:
        conditions = [*conditions, newest >= first_id(chosen.since)]
    if chosen.until is not None:
        conditions = [*conditions, newest < first_id(chosen.until)]
    return select(newest).where(*conditions).order_by(newest.desc()).limit(limit)


def _parts(chosen: ExecutionFilter) -> Iterator[Iterator[ColumnElement[bool]]]:
    """Yield the conditions of each part of the list: one part, unless the filter has no state, or means several."""
    if chosen.cause is not None:
        yield _conditions(chosen, "flow_id", "cause")
    elif chosen.replay_of is not None:
        yield _conditions(chosen, "replay_of")
    elif chosen.error_code is not None:
        yield _conditions(chosen, "flow_id", "error_code")
    elif chosen.state in FINAL or chosen.outcome is not None:
        states = sorted(FINAL) if chosen.state is None else [chosen.state]
        outcomes = list(Outcome) if chosen.outcome is None else [chosen.outcome]
        for state in states:
            for outcome in outcomes:
                yield _conditions(replace(chosen, state=state, outcome=outcome), "flow_id", "state", "outcome")
    else:
        yield _conditions(chosen, "flow_id", "state")


def _unled(chosen: ExecutionFilter) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of a filter that are checked row by row."""
    for column, value in _given(chosen).values():
        if value is not None:
            yield func.coalesce(column, "") == str(value)
    if chosen.cause is not None:
        yield func.coalesce(executions.c.discarded_at, 0) == 0


def _given(chosen: ExecutionFilter) -> dict[str, tuple[ColumnElement[Any], str | None]]:
    return {
        "flow_id": (executions.c.flow_id, chosen.flow_id),
        "cause": (executions.c.error_cause, chosen.cause),
        "replay_of": (executions.c.replay_of, chosen.replay_of),
        "error_code": (executions.c.error_code, chosen.error_code),
        "state": (executions.c.state, chosen.state),
        "outcome": (executions.c.outcome, chosen.outcome),
    }


def _conditions(chosen: ExecutionFilter, *led: str) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of a filter; `led` names the columns that an index finds."""
    if chosen.cause is not None:
        yield _DEAD
    elif chosen.error_code is not None or chosen.replay_of is not None:
        yield (executions.c.error_code if chosen.replay_of is None else executions.c.replay_of).is_not(None)
    elif chosen.state is not None:
        yield _ENDED if chosen.state in FINAL else _OPEN
    for name, (column, value) in _given(chosen).items():
        if value is not None:
            yield (column if name in led else func.coalesce(column, "")) == str(value)


def dead_letters(
    connection: Connection,
    flow_id: str | None,
    cause: str | None,
    cursor: str | None,
    limit: int,
    error: Callable[[Any], ErrorInfo | None],
) -> DeadLetterPage:
    """Return a page of groups. `error` reads the error of a row. Raises ValueError for an invalid cursor."""
    newest = func.max(executions.c.id)
    groups = (
        select(
            executions.c.flow_id,
            executions.c.error_cause,
            func.count().label("amount"),
            func.min(executions.c.finished_at).label("first_at"),
            func.max(executions.c.finished_at).label("last_at"),
            newest.label("newest"),
        )
        .where(_DEAD)
        .group_by(executions.c.flow_id, executions.c.error_cause)
        .order_by(newest.desc())
        .limit(limit + 1)
    )
    if flow_id is not None:
        groups = groups.where(executions.c.flow_id == flow_id)
    if cause is not None:
        groups = groups.where(executions.c.error_cause == cause)
    if cursor is not None:
        groups = groups.having(newest < id_of(cursor))
    found = connection.execute(groups).all()
    shown = found[:limit]
    errors = select(
        executions.c.id,
        executions.c.error_code,
        executions.c.error_message,
        executions.c.error_step,
        executions.c.error_retryable,
    ).where(executions.c.id.in_([row.newest for row in shown]), LIVE)
    told = {row.id: error(row) for row in connection.execute(errors)}
    return DeadLetterPage(
        tuple(
            DeadLetters(
                row.flow_id,
                row.error_cause,
                known,
                row.amount,
                moment(row.first_at),
                moment(row.last_at),
                row.newest,
            )
            for row in shown
            if (known := told.get(row.newest)) is not None
        ),
        shown[-1].newest if len(found) > limit else None,
    )
