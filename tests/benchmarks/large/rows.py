"""The rows of a long history, written by SQL: the API would need hours for them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from hookline.kernel.clocks import SystemClock
from hookline.kernel.json import encode
from hookline.model.message import pack
from hookline.storage.statistics import ALL_FLOWS
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.tables import COUNTED

BODY: Final = {"id": "evt_1", "resource": {"id": "PAY-1", "amount": {"value": "10.00"}, "note": "x" * 100}}

#: The kinds of ends: state, outcome, code, and of how many executions one is such.
_ENDS: Final = (
    ("cancelled", "outcome_unknown", "outcome_unknown", 50_000),
    ("cancelled", "cancelled", None, 10_000),
    ("failed", "timed_out", "timed_out", 5_000),
    ("failed", "failed", "http.404", 2_000),
    ("failed", "failed", "http.503", 50),
    ("succeeded", "stopped", None, 2_000),
    ("succeeded", "filtered", None, 100),
    ("succeeded", "completed", None, 1),
)
_MICROS: Final = 1_000_000


@dataclass(frozen=True)
class History:
    """Executions that ended one after the other, and then some that are open."""

    count: int
    """The number of those that ended."""
    flows: int = 20
    """They are those of `flow-0` to `flow-19`, for example."""
    began: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    apart_ms: int = 1000
    """Milliseconds from one to the next."""
    waiting: int = 0
    queued: int = 0
    versions: bool = False
    """Each is of the version of its flow that is served; otherwise of `v1`, which isn't stored."""

    @property
    def end(self) -> int:
        """The number of the last one."""
        return self.count + self.waiting + self.queued

    def id_of(self, number: int) -> str:
        """The id of one of them, which are numbered from 1."""
        at = f"{int(self.began.timestamp() * 1000) + number * self.apart_ms:012x}"
        return f"{at[:8]}-{at[8:]}-7000-8000-{number:012x}"

    def id_in_sql(self, dialect: str, number: str) -> str:
        """The same as an expression of SQL."""
        at = f"({int(self.began.timestamp() * 1000)} + {number} * {self.apart_ms})"
        if dialect == "sqlite":
            hexed, tail = f"printf('%012x', {at})", f"printf('%012x', {number})"
        else:
            hexed, tail = f"lpad(to_hex({at}::bigint), 12, '0')", f"lpad(to_hex({number}::bigint), 12, '0')"
        return f"substr({hexed}, 1, 8) || '-' || substr({hexed}, 9, 4) || '-7000-8000-' || {tail}"

    @property
    def flow_in_sql(self) -> str:
        # Were it `n % flows`, all failures would be those of a few flows.
        return f"'flow-' || ((n + n / 50) % {self.flows})" if self.versions else f"'flow-' || (n % {self.flows})"

    @property
    def micros_in_sql(self) -> str:
        return f"({int(self.began.timestamp() * _MICROS)} + n * {self.apart_ms * 1000})"


async def fill(url: str, history: History, *, surroundings: bool = False) -> None:
    """Write the rows behind the back of the backend that has made the tables.

    `surroundings`: also what a server keeps beside executions: statistics, rejected requests and audit entries.
    """
    parsed = make_url(url)

    def write(connection: Connection) -> None:
        _write(connection, history)
        if surroundings:
            _write_surroundings(connection, history)
        _vacuum(connection)

    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(url)

        def write_file() -> None:
            with engine.connect() as connection:
                write(connection)

        await asyncio.to_thread(write_file)
        engine.dispose()
        return
    schema = parsed.query.get("schema", "public")
    settings = {"server_settings": {"search_path": str(schema)}}
    server = create_async_engine(parsed.set(drivername="postgresql+asyncpg", query={}), connect_args=settings)
    async with server.connect() as connection:
        await connection.run_sync(write)
    await server.dispose()


def _numbers(dialect: str) -> str:
    if dialect == "sqlite":
        return "with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < :last)"
    return "with numbers(n) as (select generate_series(1, cast(:last as bigint)))"


def _insert(
    connection: Connection, table: str, columns: Mapping[str, str], last: int, where: str = "true", **values: object
) -> None:
    """Insert a row for each number up to the last one."""
    names, expressions = ", ".join(columns), ", ".join(columns.values())
    rows = f"{_numbers(connection.dialect.name)} select {expressions} from numbers where {where}"
    if connection.dialect.name == "sqlite":
        rows = f"select * from ({rows})"
    connection.execute(text(f"insert into {table} ({names}) {rows}"), {"last": last, **values})


def _case(column: int) -> str:
    parts = [f"when n % {end[3]} = 0 then {'null' if end[column] is None else repr(end[column])}" for end in _ENDS]
    return f"case {' '.join(parts)} end"


def _ended(history: History, dialect: str) -> dict[str, str]:
    error, micros = _case(2), history.micros_in_sql
    failed = f"{error} is not null"
    version = "'v1'"
    if history.versions:
        version = f"(select version from served_flows where flow_id = {history.flow_in_sql})"
    return {
        "id": history.id_in_sql(dialect, "n"),
        "flow_id": history.flow_in_sql,
        "flow_version": version,
        "state": _case(0),
        "outcome": _case(1),
        "created_at": micros,
        "started_at": micros,
        "finished_at": micros,
        "attempt": "1",
        "order_holds": "false",
        "error_code": error,
        "error_message": f"case when {failed} then 'it failed' end",
        "error_step": f"case when {failed} then 'post1' end",
        "error_retryable": f"case when {failed} then true end",
        "error_cause": f"case when {_case(0)} = 'failed' then 'cause' || (n % 100) end",
        "replay_of": f"case when n % 1000 = 0 then {history.id_in_sql(dialect, '(n - 1)')} end",
        "history": f"({_case(0)} <> 'failed')",
        "payload": ":payload",
    }


_NOT_ENDED: Final = {
    **dict.fromkeys(("outcome", "finished_at", "error_code", "error_message", "error_step", "replay_of"), "null"),
    **dict.fromkeys(("error_retryable", "error_cause"), "null"),
    "history": "false",
}


def _write(connection: Connection, history: History) -> None:
    dialect = connection.dialect.name
    if dialect == "sqlite":
        for pragma in ("synchronous = off", "cache_size = -200000"):
            connection.exec_driver_sql(f"pragma {pragma}")
        connection.commit()
    payload = pack(Envelopes(SystemClock()).make(body=BODY))
    ended = _ended(history, dialect)
    begun = history.count + history.waiting
    with connection.begin():
        for columns, where in (
            (ended, f"n <= {history.count}"),
            ({**ended, **_NOT_ENDED, "state": "'waiting'"}, f"n > {history.count} and n <= {begun}"),
            ({**ended, **_NOT_ENDED, "state": "'queued'", "started_at": "null"}, f"n > {begun}"),
        ):
            _insert(connection, "executions", columns, history.end, where, payload=payload)
        # Of a part of them: what others hold is never read with it.
        connection.execute(
            text(
                'insert into journal (execution_id, seq, step_id, path, "use", state, attempt, started_at, finished_at,'
                " input, output) select id, seq, 'post' || seq, 'post' || seq, 'map', 'succeeded', 1,"
                " created_at, created_at, :said, :said from executions cross join (select 1 as seq union all"
                " select 2 union all select 3) as steps where finished_at > 0 and flow_id = 'flow-0' order by id, seq"
            ),
            {"said": encode({"body": BODY})},
        )


def _write_surroundings(connection: Connection, history: History) -> None:
    dialect, flow, micros = connection.dialect.name, history.flow_in_sql, history.micros_in_sql
    id_ = history.id_in_sql(dialect, "n")
    # As many as are kept of each flow, if there are so many.
    rejected = {
        "id": id_,
        "flow_id": flow,
        "at": micros,
        "code": "'hook.signature'",
        "status": "401",
        "detail": "'The signature is wrong.'",
        "method": "'POST'",
        "path": flow,
        "size": "100",
        "client": "'192.0.2.7'",
        "body": "null",
    }
    audit = {
        "id": id_,
        "at": micros,
        "actor": "'token:admin'",
        "address": "'127.0.0.1'",
        "operation": "'execution.retry'",
        "flow_id": flow,
        "flow_version": "null",
        "subject": id_,
        "detail": "null",
    }
    with connection.begin():
        first = history.count - history.flows * 100
        _insert(connection, "rejected", rejected, history.count, f"n > {first}")
        _insert(connection, "audit", audit, history.count, f"n > {history.count - history.count // 10}")
        for table, step, node in (("statistics_minutes", 60, ["'node'"]), ("statistics_hours", 3600, [])):
            for of in ("flow_id", f"'{ALL_FLOWS}'"):
                _write_statistics(connection, table, step, of, node)


def _write_statistics(connection: Connection, table: str, step: int, of: str, node: list[str]) -> None:
    counted = dict.fromkeys(COUNTED, "0")
    counted |= dict.fromkeys(("accepted", f"latency_{len(COUNTED) // 4}"), "count(*)")
    counted["failed"] = "sum(case when state = 'failed' then 1 else 0 end)"
    counted["succeeded"] = "sum(case when state = 'succeeded' then 1 else 0 end)"
    names = ["flow_id", "at", *(["node"] if node else []), "queue_age", *counted]
    at = f"created_at - created_at % {step * _MICROS}"
    # Of the last minutes only: earlier ones aren't kept.
    since = f"(select max(created_at) from executions) - {172_800 * _MICROS}" if node else "0"
    connection.execute(
        text(
            f"insert into {table} ({', '.join(names)}) select {', '.join([of, at, *node, '1000', *counted.values()])}"
            f" from executions where created_at >= {since} group by 1, 2"
        )
    )


def _vacuum(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        return
    # As the server does by itself after a while. Without it each entry of an index is looked up in its table too.
    connection.execution_options(isolation_level="AUTOCOMMIT")
    for table in ("executions", "journal"):
        connection.execute(text(f"vacuum (analyze) {table}"))
