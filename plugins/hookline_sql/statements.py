"""SQL statements of flows: parameters are bound, never written into the text."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, TextClause, bindparam, text
from sqlalchemy.types import NullType
from sqlalchemy.util import await_only

from hookline.api import JsonValue, StepError
from hookline_sql.databases.mysql import is_mysql, parameter, readers
from hookline_sql.databases.pools import Database
from hookline_sql.values import Unfit, for_parameter, to_json, to_json_text, to_sqlite

_REMEMBERED: Final = 256
#: The number of rows that are fetched at once; from SQLite, whose rows are only bounded one by one, fewer.
_PAGE: Final = 1000
_PAGE_OF_SQLITE: Final = 16
_MAX_SIZE: Final = 64 * 1024 * 1024
"""The most characters and bytes of a result that isn't a stream."""


def bound(
    database: Database, connection: Connection, sql: str, params: Mapping[str, JsonValue]
) -> tuple[TextClause, dict[str, Any]]:
    """Return the statement, and the values of its parameters `:name`. Raises StepError (`sql.params`, `sql.value`)."""
    needed = names(connection, sql)
    _check_names(needed, params)
    single, lists = sql, set()
    for name in needed:
        # Each item of a list after IN becomes a parameter of its own, all of one type.
        after_in = re.compile(rf"\bin\s*(?:\(\s*:{name}\s*\)|:{name}\b)", re.IGNORECASE)
        if isinstance(params[name], list) and after_in.search(sql):
            lists.add(name)
            sql = after_in.sub(f"IN :{name}", sql)
            single = after_in.sub(f"IN (:{name})", single)
    kinds = _kinds(database, connection, single, needed)
    plain = _PLAIN.get(connection.dialect.name, _as_it_is)
    values: dict[str, Any] = {}
    for name in needed:
        try:
            values[name] = _value(params[name], kinds.get(name), plain, in_list=name in lists)
        except Unfit as error:
            raise StepError(f"parameter {name!r} ({kinds.get(name, 'value')}): {error}", code="sql.value") from None
    return _untyped(sql, needed, lists), values


def names(connection: Connection, sql: str) -> list[str]:
    """Return the names of a statement's parameters."""
    return list(text(sql).compile(dialect=connection.dialect).params)


def _untyped(sql: str, needed: list[str], lists: Collection[str] = ()) -> TextClause:
    """Return the statement with untyped parameters, because the server knows their types better."""
    return text(sql).bindparams(*(bindparam(name, type_=NullType(), expanding=name in lists) for name in needed))


def rows(result: CursorResult[Any], limit: int) -> list[dict[str, JsonValue]]:
    """Return the rows of a result.

    Raises StepError: `sql.rows` above the limit or for too large ones, `sql.columns` for equal names.
    """
    found: list[dict[str, JsonValue]] = []
    size = 0
    for page in pages(result, limit):
        size += sum(len(value) for row in page for value in row.values() if isinstance(value, str | list | dict))
        if size > _MAX_SIZE:
            raise StepError(
                f"the rows have more than {_MAX_SIZE:,} characters; select fewer, or use `stream`", code="sql.rows"
            )
        found += page
    return found


def pages(result: CursorResult[Any], limit: int | None) -> Iterator[list[dict[str, JsonValue]]]:
    """Yield the rows of a result in pages; without a limit, any number of them."""
    columns, read = _columns(result), _reader(result)
    given, size = 0, _PAGE_OF_SQLITE if result.dialect.name == "sqlite" else _PAGE
    while found := result.fetchmany(size):
        given += len(found)
        if limit is not None and given > limit:
            raise _too_many(limit)
        yield [dict(zip(columns, read(row), strict=True)) for row in found]


def _reader(result: CursorResult[Any]) -> Callable[[Sequence[Any]], list[JsonValue]]:
    """Return the function that converts a row to JSON values."""
    if not is_mysql(result.dialect):
        return lambda row: [to_json(value) for value in row]
    each = readers(result)
    return lambda row: [read(value) for read, value in zip(each, row, strict=True)]


def _columns(result: CursorResult[Any]) -> list[str]:
    columns = list(result.keys())
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise StepError(f"two columns are named {twice[0]!r}; rename one with AS", code="sql.columns")
    return columns


def _too_many(limit: int) -> StepError:
    return StepError(
        f"the query returns more than {limit} rows; narrow it down with LIMIT, or raise `max_rows`", code="sql.rows"
    )


def _check_names(needed: list[str], params: Mapping[str, JsonValue]) -> None:
    missing = [name for name in needed if name not in params]
    extra = [name for name in params if name not in needed]
    if missing:
        close = get_close_matches(missing[0], extra, n=1)
        hint = f"; `params` has {close[0]!r}" if close else "; write \\: for a plain colon"
        raise StepError(f"`params` has no value for :{missing[0]}{hint}", code="sql.params")
    if extra:
        raise StepError(f"the statement has no parameter :{extra[0]}", code="sql.params")


def _as_it_is(value: Any) -> Any:
    return value


def _for_sqlite(value: Any) -> Any:
    return to_sqlite(value) if isinstance(value, Decimal) else value


#: By dialect, the conversion of a parameter without a known type.
_PLAIN: Final[Mapping[str, Callable[[Any], Any]]] = {"sqlite": _for_sqlite, "mysql": parameter, "mariadb": parameter}


def _value(value: JsonValue, kind: str | None, plain: Callable[[Any], Any], *, in_list: bool) -> Any:
    if in_list and isinstance(value, list):
        return [_value(item, kind, plain, in_list=False) for item in value]
    if kind is not None:
        return for_parameter(value, kind)
    if isinstance(value, list):
        raise Unfit("a list is only allowed after IN, as in `id IN :ids`")
    return to_json_text(value) if isinstance(value, dict) else plain(value)


def _kinds(database: Database, connection: Connection, sql: str, needed: list[str]) -> dict[str, str]:
    """Return the type that PostgreSQL infers for each parameter: asyncpg needs values of exactly these types."""
    if connection.dialect.driver != "asyncpg" or not needed:
        return {}
    # From an extra, which is installed if there is a connection; it has no type hints.
    from asyncpg import PostgresError  # type: ignore[import-untyped]

    kinds = database.types.get(sql)
    if kinds is None:
        compiled = _untyped(sql, needed).compile(dialect=connection.dialect)
        driver: Any = connection.connection.driver_connection
        try:
            prepared = await_only(driver.prepare(str(compiled)))
        except PostgresError:
            # It fails again when it is executed, and is reported there.
            return {}
        order = dict.fromkeys(compiled.positiontup or ())
        kinds = {name: kind.name for name, kind in zip(order, prepared.get_parameters(), strict=True)}
        if len(database.types) >= _REMEMBERED:
            database.types.clear()
        database.types[sql] = kinds
    return kinds
