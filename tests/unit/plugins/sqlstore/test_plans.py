"""No statement walks through the history: a million executions that have ended cost a request nothing."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from hookline.model.access import SYSTEM, Session, SignInCode
from hookline.model.deployments_and_drafts import Draft, DraftInfo
from hookline.model.execution import ExecutionFilter, Outcome, State
from hookline.model.foreach_progress_and_streams import Progress
from hookline.model.rejection import RejectedRequest
from hookline.storage.backend import Backend
from hookline.storage.captures import Capture, CapturedInfo, CapturedRequest
from hookline.storage.change_declarations import (
    Accept,
    AddState,
    BeginWait,
    Cancel,
    Change,
    CheckpointItems,
    CloseCapture,
    CreateSession,
    CreateSignInCode,
    DismissDeadLetter,
    DropCapture,
    DropCredential,
    DropDraft,
    DropEntries,
    End,
    EndSession,
    EndWait,
    FinishBlock,
    ForgetCallbacks,
    ForgetCaptured,
    ForgetDedupeKeys,
    ForgetEarlyCallbacks,
    ForgetFiles,
    ForgetSessions,
    ForgetVersions,
    KeepAlias,
    KeepCaptured,
    MarkDelivered,
    MoveWaits,
    OpenCapture,
    OverrideState,
    Park,
    Publish,
    Purge,
    PutCredential,
    PutDraft,
    PutStatistics,
    PutTokens,
    Rebind,
    RecordSteps,
    Reject,
    ReleaseOrderKey,
    Reopen,
    ReportProblems,
    Resume,
    RollUpStatistics,
    SetState,
    Start,
    StoreCallback,
    TakeDedupeKeys,
    TimeOutWait,
    Unblock,
    UseFiles,
    UseSignInCode,
)
from hookline.storage.node_problems import NodeProblem
from hookline.storage.statistics import Counts, FlowMinute
from hookline.testing.clock import START, ManualClock
from hookline.testing.envelopes import Envelopes, attachment
from hookline_sqlstore.backend_makers import sqlite
from hookline_sqlstore.dialect import Statement
from hookline_sqlstore.writing import statements

#: What walks through more than it gives does so in an index of what has not ended, or in a small table.
ALLOWED = (
    "VALUES CLAUSE",
    "CONSTANT ROW",
    "SCAN v",
    "SCAN found",
    "SCAN measured",
    "SCAN credentials",
    # Drafts and captures, of which there are few.
    "SCAN drafts",
    "SCAN captures",
    # Counted by flow, in the order of the key: there are 50 for each capture.
    "SCAN captured_requests USING INDEX",
    "SCAN flow_overrides",
    "SCAN rejected",
    # Problems of nodes, which are few.
    "SCAN node_problems",
    "SCAN batches",
    # Counted for the disk budget, in the order of its key.
    "SCAN dedupe_keys",
    "ix_executions_open",
    "SCAN part",
    "ix_executions_dead",
    # Steps that wait, of executions that have not ended: after a jump of the clock, all of their times move.
    "SCAN waits USING COVERING INDEX ix_waits_late",
    # What an inner query with a limit has found.
    "SCAN counted",
)

CURSOR = "01a20e14-1c21-708f-b502-459830859189"

Said = list[tuple[str, Any]]


@pytest.fixture
def said() -> Said:
    return []


@pytest.fixture
async def backend(tmp_path: Path, said: Said) -> AsyncIterator[Backend]:
    def hear(_connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        said.append((statement, parameters))

    backend = sqlite(f"sqlite:///{tmp_path}/x.db", clock=ManualClock())
    event.listen(Engine, "before_cursor_execute", hear)
    await backend.open()
    yield backend
    event.remove(Engine, "before_cursor_execute", hear)
    await backend.close()


def walks(database: Path, said: Said) -> list[str]:
    """The steps of the plans that read a table from one end to the other, each with its statement."""
    connection = sqlite3.connect(database)
    found = []
    for statement, parameters in said:
        if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall():
                walk = step.startswith("SCAN") and not step.startswith("SCAN (subquery")
                sort = "TEMP B-TREE" in step and "ready_at" in statement
                if (walk or sort) and not any(allowed in step for allowed in ALLOWED):
                    found.append(f"{step}: {statement}")
    connection.close()
    return found


Ask = Callable[[Backend, Envelopes], Coroutine[Any, Any, object]]


async def _writes(backend: Backend, envelopes: Envelopes) -> None:
    now, later = envelopes.clock.now(), envelopes.clock.now() + timedelta(hours=1)
    first = envelopes.make(body="x" * 100_000, key="k", window=timedelta(0), attachments=(attachment("b"),))
    id_ = first.execution_id
    await backend.store.commit([Accept(first)])
    await backend.store.commit([Accept(envelopes.make(key="k"))])
    await backend.store.commit([Accept(envelopes.make(key="k"))])
    ordered = envelopes.make(order_key="o", order_holds=True)
    await backend.store.commit([Accept(ordered)])
    await backend.store.commit([Accept(envelopes.make(order_key="o"))])
    told = StoreCallback(envelopes.ids.new(), id_, "call", "orders", "call", None, b"x", now, None, b"{}")
    await backend.store.commit([Cancel(ordered.execution_id, now, told)])
    ordered = envelopes.make(order_key="p", order_holds=True)
    await backend.store.commit([Accept(ordered)])
    for change in (
        KeepAlias(envelopes.ids.new(), id_, now),
        Start(id_, "v1", now),
        RecordSteps(id_, (envelopes.record(1),)),
        MarkDelivered(id_, 1, b"1", b"2"),
        SetState("orders", "k", b"1", now),
        AddState(id_, envelopes.record(9), "orders", "k", b"1", now),
        AddState(id_, envelopes.record(10), "orders", "n", b"1", now),
        SetState("orders", "k", None, now),
        CheckpointItems(id_, Progress("a", 2, ((0, 1),), 0, now), ((0, b"1"),)),
        DropEntries(id_, (1,)),
        FinishBlock(id_, "a"),
        Park(id_, now, None, "x"),
        Unblock("orders", now),
        MoveWaits("move", timedelta(hours=1)),
        Resume(id_, now),
        End(id_, State.FAILED, Outcome.FAILED, now),
        UseFiles(id_),
        ForgetFiles((id_,), now),
        ForgetCallbacks((id_,)),
        ForgetEarlyCallbacks(now),
        *_waiting(envelopes, id_),
        Reject((RejectedRequest(envelopes.ids.new(), "orders", now, "x", 401, "", "POST", "", 0),)),
        Reopen(id_, now),
        Start(in_order := ordered.execution_id, "v1", now),
        End(in_order, State.FAILED, Outcome.FAILED, now),
        ReleaseOrderKey(in_order, now),
        DismissDeadLetter(in_order, now),
        Publish("orders", "v1", b"", now),
        PutCredential("a", "b", b"", now),
        PutTokens("a", now, b""),
        DropCredential("a"),
        Purge((id_, in_order), now),
        TakeDedupeKeys("orders", ((envelopes.ids.new(), "k"),), now, now),
        ForgetDedupeKeys(now),
        ForgetVersions("orders", ("v1",)),
        CreateSession(Session(b"s", "1", b"t", now, now)),
        CreateSignInCode(SignInCode(b"c", "1", b"t", now, now)),
        UseSignInCode(b"c"),
        EndSession(b"s"),
        ForgetSessions(now),
        PutStatistics("a.1", (FlowMinute("orders", now, Counts()),)),
        RollUpStatistics(now, now),
        ReportProblems("a.1", (NodeProblem("disk_budget", "", "full", now),), now, now),
        RollUpStatistics(later, later),
    ):
        await backend.store.commit([change])


def _waiting(envelopes: Envelopes, execution_id: str) -> Iterator[Change]:
    """A step waits, and calls come: for it, for its key, for a key that nobody has, and too late."""
    now, later = envelopes.clock.now(), envelopes.clock.now() + timedelta(hours=1)

    def call(execution: str | None, path: str | None, key: str | None) -> StoreCallback:
        return StoreCallback(
            envelopes.ids.new(), execution, path, "orders", "paid", key, b"x", now, later, b"{}", ("b",)
        )

    yield BeginWait(execution_id, "paid", "orders", "paid", "key", now)
    yield call(None, None, "key")
    yield call(None, None, "key")
    yield call(execution_id, "other", None)
    yield call(None, None, "nobody's")
    yield BeginWait(execution_id, "late", "orders", "late", "nobody's", now)
    yield TimeOutWait(envelopes.ids.new(), execution_id, "late", "orders", "late", now)
    yield EndWait(execution_id, "paid")


async def _queue(backend: Backend, envelopes: Envelopes) -> None:
    await backend.queue.put(envelopes.make())
    deliveries = backend.queue.deliveries("orders")
    await anext(deliveries)
    await deliveries.aclose()


async def _deploys(backend: Backend, envelopes: Envelopes) -> None:
    envelope, now = envelopes.make(), envelopes.clock.now()
    await backend.store.commit([Accept(envelope), Start(envelope.execution_id, "v1", now)])
    for change in (
        Park(envelope.execution_id, now, now, "retry"),
        Rebind(envelope.execution_id, "v2", now, 0),
        OverrideState("orders", "paused", "active", now),
        OverrideState("orders", None, "active", now),
        Publish("orders", "v2", b"", now),
    ):
        await backend.store.commit([change])


async def _begun(backend: Backend, envelopes: Envelopes) -> None:
    envelope, now = envelopes.make(), envelopes.clock.now()
    await backend.store.commit([Accept(envelope), Start(envelope.execution_id, "v1", now)])
    await backend.store.commit([Park(envelope.execution_id, now, now, "retry")])
    deliveries = backend.queue.deliveries("orders", begun_only=True)
    await anext(deliveries)
    await deliveries.aclose()


async def _oldest_queued(backend: Backend, envelopes: Envelopes) -> None:
    await backend.store.commit([Accept(envelopes.make())])
    assert await backend.store.oldest_queued()


async def _drafts(backend: Backend, envelopes: Envelopes) -> None:
    info = DraftInfo("orders", "1", None, 1, envelopes.clock.now(), SYSTEM)
    for change in (PutDraft(Draft(info, b"1"), None), PutDraft(Draft(info, b"1"), "1"), DropDraft("orders", "1")):
        await backend.store.commit([change])
    await backend.store.draft("orders")
    await backend.store.drafts(flows=["orders"], cursor="a")


async def _captures(backend: Backend, envelopes: Envelopes) -> None:
    now, id_ = envelopes.clock.now(), envelopes.ids.new()
    info = CapturedInfo(id_, "orders", now, "POST", "orders", None, None, 2, "captured", 202)
    for change in (
        OpenCapture(Capture("orders", now, now, SYSTEM)),
        KeepCaptured((CapturedRequest(info, (), "", b""),)),
        CloseCapture("orders", now),
        ForgetCaptured(now + timedelta(seconds=1)),
        DropCapture("orders"),
    ):
        await backend.store.commit([change])
    await backend.store.captures(now)
    await backend.store.captured("orders", now, cursor=CURSOR)
    await backend.store.captured_request("orders", id_)
    await backend.store.has_old_captures(now)


ASKED: dict[str, Ask] = {
    "writes": _writes,
    "deliveries": _queue,
    "deliveries of what has begun": _begun,
    "deploys": _deploys,
    "flow_versions": lambda backend, _: backend.store.flow_versions("orders"),
    "executions_by_version": lambda backend, _: backend.store.executions_by_version("orders"),
    "state_overrides": lambda backend, _: backend.store.state_overrides(),
    "execution": lambda backend, _: backend.store.execution("x"),
    "envelope": lambda backend, _: backend.store.envelope("x"),
    "accepted_as": lambda backend, envelopes: backend.store.accepted_as("orders", "k", envelopes.clock.now()),
    "aliased": lambda backend, _: backend.store.aliased("x"),
    "journal": lambda backend, _: backend.store.journal("x", limit=5),
    "progress": lambda backend, _: backend.store.progress("x"),
    "item_results": lambda backend, _: backend.store.item_results("x", "a"),
    "due": lambda backend, envelopes: backend.store.due(envelopes.clock.now(), envelopes.clock.now(), 10),
    "due at first": lambda backend, envelopes: backend.store.due(None, envelopes.clock.now(), 10),
    "next_due": lambda backend, envelopes: backend.store.next_due(envelopes.clock.now()),
    "flow_document": lambda backend, _: backend.store.flow_document("orders", "v1"),
    "flow_documents": lambda backend, _: backend.store.flow_documents([("orders", "v1"), ("orders", "v2")]),
    "flows_with_work": lambda backend, _: backend.store.flows_with_work(),
    "backlog": lambda backend, _: backend.store.backlog(),
    "queue_depth": lambda backend, _: backend.store.queue_depth("orders", "k", 10),
    "counts": lambda backend, _: backend.store.counts(),
    "oldest_queued": _oldest_queued,
    "blocked": lambda backend, _: backend.store.blocked(10),
    "late_waits": lambda backend, _: backend.store.late_waits(START, 10),
    "node_problems": lambda backend, _: backend.store.node_problems(START),
    "rejected_since": lambda backend, _: backend.store.rejected_since(START),
    "statistics": lambda backend, _: backend.store.statistics(["orders", "greet"], START, START, hourly=False),
    "statistics by the hour": lambda backend, _: backend.store.statistics(["orders"], START, START, hourly=True),
    "statistics by flow": lambda backend, _: backend.store.statistics_by_flow(["a", "b"], START, START, hourly=False),
    "statistics by flow and hour": lambda backend, _: backend.store.statistics_by_flow(
        ["a", "b"], START, START, hourly=True
    ),
    "has_old_statistics": lambda backend, _: backend.store.has_old_statistics(START, START),
    "referenced": lambda backend, _: backend.store.referenced(["a", "b"]),
    "executions_with_files": lambda backend, envelopes: backend.store.executions_with_files(envelopes.clock.now(), 10),
    "executions_with_callbacks": lambda backend, envelopes: backend.store.executions_with_callbacks(
        envelopes.clock.now(), 10
    ),
    "dead_letters": lambda backend, _: backend.store.dead_letters(),
    "dead letters of a flow": lambda backend, _: backend.store.dead_letters(flow_id="orders", cursor=CURSOR),
    "dead letters of a cause": lambda backend, _: backend.store.dead_letters(flow_id="orders", cause="x"),
    "callbacks": lambda backend, _: backend.store.callbacks("x"),
    "waits": lambda backend, _: backend.store.waits("x"),
    "wait_status": lambda backend, _: backend.store.wait_status("x", "x"),
    "rejected": lambda backend, _: backend.store.rejected(),
    "rejected by a flow": lambda backend, _: backend.store.rejected(flow_id="orders", cursor=CURSOR),
    "rejected with a code": lambda backend, _: backend.store.rejected(code="x", cursor=CURSOR),
    "rejection_reasons": lambda backend, _: backend.store.rejection_reasons(),
    "flows_with_history": lambda backend, _: backend.store.flows_with_history(),
    "purgeable": lambda backend, envelopes: backend.store.purgeable(None, envelopes.clock.now(), 10, after=CURSOR),
    "purgeable of a flow": lambda backend, envelopes: backend.store.purgeable(
        "orders", envelopes.clock.now(), 10, up_to=CURSOR
    ),
    "first_too_many": lambda backend, _: backend.store.first_too_many("orders", 10),
    "disk_usage": lambda backend, _: backend.store.disk_usage(),
    "row_usage": lambda backend, _: backend.store.row_usage(CURSOR, 10),
    "file_usage": lambda backend, _: backend.store.file_usage(CURSOR, 10),
    "freed_by_purging": lambda backend, _: backend.store.freed_by_purging([CURSOR]),
    "files_of": lambda backend, _: backend.store.files_of([CURSOR]),
    "spent_versions": lambda backend, _: backend.store.spent_versions("orders", 0, 10),
    "state": lambda backend, _: backend.store.state("orders", "k"),
    "kept": lambda backend, _: backend.store.state_entries("orders", cursor="k"),
    "credentials": lambda backend, _: backend.store.credentials(),
    "drafts": _drafts,
    "captures": _captures,
    "session": lambda backend, _: backend.store.session(b"x"),
    "sign_in_code": lambda backend, _: backend.store.sign_in_code(b"x"),
    "has_expired_sessions": lambda backend, envelopes: backend.store.has_expired_sessions(envelopes.clock.now()),
    "ping": lambda backend, _: backend.store.ping(),
}


WRITTEN = {name: made for name, made in vars(statements).items() if isinstance(made, Statement)}


@pytest.mark.parametrize("asked", ASKED)
async def test_nothing_walks_through_the_history(asked: str, backend: Backend, said: Said, tmp_path: Path) -> None:
    said.clear()
    await ASKED[asked](backend, Envelopes(ManualClock()))
    assert said
    assert walks(tmp_path / "x.db", said) == []


@pytest.mark.promise(9)
@pytest.mark.parametrize("flow_id", [None, "orders"])
@pytest.mark.parametrize("state", [None, *State])
@pytest.mark.parametrize("cursor", [None, CURSOR])
async def test_no_list_walks_through_the_history(
    flow_id: str | None, state: State | None, cursor: str | None, backend: Backend, said: Said, tmp_path: Path
) -> None:
    said.clear()
    await backend.store.executions(ExecutionFilter(flow_id=flow_id, state=state), cursor=cursor)
    found = walks(tmp_path / "x.db", said)
    # All executions, newest first: from the end of the primary key, as far as the page goes.
    whole = [walk for walk in found if "sqlite_autoindex_executions_1" in walk and " WHERE" not in walk]
    assert found == whole
    assert bool(whole) == (flow_id is state is cursor is None)


FILTERS: dict[str, dict[str, Any]] = {
    "outcome": {"outcome": Outcome.FILTERED},
    "outcome of a flow": {"outcome": Outcome.FILTERED, "flow_id": "orders"},
    "outcome in a state": {"outcome": Outcome.FAILED, "state": State.FAILED},
    "code": {"error_code": "http.503"},
    "code of a flow": {"error_code": "http.503", "flow_id": "orders"},
    "code in a state": {"error_code": "http.503", "state": State.FAILED, "outcome": Outcome.FAILED},
    "cause": {"cause": "x", "flow_id": "orders"},
    "cause in a state": {"cause": "x", "flow_id": "orders", "state": State.FAILED, "error_code": "http.503"},
    "replays": {"replay_of": "x"},
    "replays in a state": {"replay_of": "x", "state": State.SUCCEEDED, "flow_id": "orders"},
    "since": {"since": START, "until": START},
    "since, in a state": {"since": START, "until": START, "state": State.FAILED},
}
"""What is asked for by more than a flow and a state, and the index that has to lead to it."""

LED = {
    "outcome": "ix_executions_ended (state=? AND outcome=?",
    "outcome of a flow": "ix_executions_flow_ended (flow_id=? AND state=? AND outcome=?",
    "outcome in a state": "ix_executions_ended (state=? AND outcome=?",
    "code": "ix_executions_error (error_code=?",
    "code of a flow": "ix_executions_flow_error (flow_id=? AND error_code=?",
    "code in a state": "ix_executions_error (error_code=?",
    "cause": "ix_executions_dead (flow_id=? AND error_cause=?",
    "cause in a state": "ix_executions_dead (flow_id=? AND error_cause=?",
    "replays": "ix_executions_replay (replay_of=?",
    "replays in a state": "ix_executions_replay (replay_of=?",
    "since": "sqlite_autoindex_executions_1 (id>? AND id<?",
    "since, in a state": "ix_executions_ended (state=? AND outcome=? AND id>? AND id<?",
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("cursor", [None, CURSOR])
async def test_each_filter_has_an_index_that_leads_to_it(
    name: str, cursor: str | None, backend: Backend, said: Said, tmp_path: Path
) -> None:
    said.clear()
    await backend.store.executions(ExecutionFilter(**FILTERS[name]), cursor=cursor)
    assert walks(tmp_path / "x.db", said) == []
    statement, parameters = said[0]
    connection = sqlite3.connect(tmp_path / "x.db")
    steps = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()]
    connection.close()
    searches = [step for step in steps if step.startswith("SEARCH")]
    assert searches
    assert all(LED[name] in step for step in searches), searches


@pytest.mark.parametrize(
    "chosen",
    [
        {"tag": "order:7"},
        {"tag": "order:7", "flow_id": "orders", "state": State.WAITING},
        {"order_key": "north", "tag": "order:7", "error_code": "http.503"},
        {"order_key": "north", "flow_id": "orders", "cause": "x", "since": START},
    ],
)
async def test_tags_lead_to_their_executions_in_the_order_of_ids(
    chosen: dict[str, Any], backend: Backend, said: Said, tmp_path: Path
) -> None:
    said.clear()
    await backend.store.executions(ExecutionFilter(**chosen), cursor=CURSOR)
    statement, parameters = said[0]
    connection = sqlite3.connect(tmp_path / "x.db")
    steps = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()]
    connection.close()
    assert "PRIMARY KEY (name=? AND value=? AND execution_id" in steps[0]
    assert all("(name=? AND value=? AND" in step or "(id=?)" in step for step in steps if step.startswith("SEARCH"))
    assert not any(step.startswith(("SCAN", "USE TEMP")) for step in steps)


async def test_a_part_of_an_id_is_looked_up_by_the_key_and_among_the_newest(
    backend: Backend, said: Said, tmp_path: Path
) -> None:
    said.clear()
    await backend.store.matching_ids("0a1b", 10)
    (begins, _), (ends, parameters) = said
    connection = sqlite3.connect(tmp_path / "x.db")
    (found,) = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {begins}", said[0][1]).fetchall()]
    connection.close()
    assert "COVERING INDEX sqlite_autoindex_executions_1 (id>? AND id<?" in found
    inner = ends.partition("FROM (")[2].partition(") AS newest")[0]
    assert "LIMIT" in inner
    assert 100_000 in parameters
    said.clear()
    await backend.store.matching_ids("0a1b", 10, {"orders", "invoices"})
    assert len(said) == 2
    assert all(100_000 in parameters for _, parameters in said)


@pytest.mark.parametrize("statement", sorted(WRITTEN))
@pytest.mark.parametrize("size", [1, 2, 32, 256])
@pytest.mark.usefixtures("backend")
def test_no_write_walks_through_the_history_however_many_rows_it_has(statement: str, size: int, tmp_path: Path) -> None:
    written = WRITTEN[statement]
    said = [(written.for_sqlite(size), [None] * size * len(written.columns))]
    assert walks(tmp_path / "x.db", said) == []


async def test_a_walk_is_noticed(backend: Backend, said: Said, tmp_path: Path) -> None:
    said[:] = [("SELECT id FROM executions WHERE reason = ?", ("x",))]
    assert len(walks(tmp_path / "x.db", said)) == 1


async def test_opening_reads_only_what_has_not_ended(backend: Backend, said: Said, tmp_path: Path) -> None:
    recovering = [entry for entry in said if entry[0].startswith("UPDATE executions SET ready_at")]
    assert len(recovering) == 1
    assert walks(tmp_path / "x.db", recovering) == []
