"""The judge finds a planted fault of each kind, and accepts a right history and the repeated calls that are allowed."""

from pathlib import Path

import msgspec
import pytest
from tests.chaos.history import (
    CLOCK,
    CUT,
    CUT_QUEUE,
    EXIT,
    KILL,
    NOT_SENT,
    PAUSE,
    POSTGRES,
    RESTART,
    SLOW,
    SLOW_QUEUE,
    Alias,
    Disturbance,
    Stored,
)
from tests.chaos.history import History as Files
from tests.chaos.judge.evidence import load
from tests.chaos.judge.verdict import report, violations
from tests.unit.chaos.right_history import History, right_history

changed = msgspec.structs.replace


def found(history: History) -> list[tuple[str, str]]:
    """The rule and the subject of each violation."""
    return [(one.rule, one.subject) for one in violations(history.evidence())]


def retell(history: History, execution: str, message: str) -> None:
    """Let an execution be about another message in all that it does."""
    history.calls = [changed(one, message=message) if one.execution == execution else one for one in history.calls]
    history.rows = [changed(one, message=message) if one.execution == execution else one for one in history.rows]
    history.executions = [changed(one, message=message) if one.id == execution else one for one in history.executions]


def again(history: History, execution: str, step: str, *, at: float, node: str | None, life: int = 1) -> None:
    """Let a step be called once more."""
    first = history.call(execution, step)
    history.calls.append(changed(first, started=at, ended=at + 0.05, node=node, life=life))


def test_a_right_history_has_no_violation() -> None:
    assert found(right_history()) == []


# Messages.


def test_an_accepted_message_without_an_execution_is_lost() -> None:
    history = right_history()
    history.request("lost", "notes", None, 202, 21)
    assert found(history) == [("promise 1: an accepted message is lost", "lost")]


def test_a_message_that_was_not_accepted_may_have_no_execution() -> None:
    history = right_history()
    history.request("unsent", "notes", None, 503, 21)
    history.request("unsent", "notes", None, 0, 22)
    assert found(history) == []


@pytest.mark.parametrize("state", ["queued", "running", "waiting"])
def test_an_execution_that_has_not_ended(state: str) -> None:
    history = right_history()
    number = next(number for number, one in enumerate(history.executions) if one.id == "e-n")
    history.executions[number] = changed(history.executions[number], state=state, message=None)
    assert found(history) == [("promise 1: an execution has not ended", "e-n")]


def test_an_execution_that_has_failed() -> None:
    history = right_history()
    number = next(number for number, one in enumerate(history.executions) if one.id == "e-n")
    history.executions[number] = changed(history.executions[number], state="failed", error="http.503: down")
    assert found(history) == [("promise 1: an execution has failed", "e-n")]


def test_an_execution_that_nobody_has_asked_for() -> None:
    history = right_history()
    history.note("ghost", sent=22, node="node1")
    history.requests = [one for one in history.requests if one.message != "ghost"]
    assert found(history) == [("an execution without a request", "e-ghost")]


def test_two_executions_of_one_message() -> None:
    history = right_history()
    history.note("twin", sent=22, node="node1")
    history.requests[-1] = changed(history.requests[-1], message="n", status=503, execution=None)
    retell(history, "e-twin", "n")
    assert found(history) == [("promise 4: a message has several executions", "n")]


def test_a_duplicate_that_is_answered_with_another_execution() -> None:
    history = right_history()
    history.request("n", "notes", None, 200, 22, execution="e-a")
    assert found(history) == [("promise 4: a duplicate got another execution", "n")]


def test_a_message_that_is_answered_with_the_execution_of_another_one() -> None:
    history = right_history()
    history.request("lost", "notes", None, 202, 22, execution="e-n")
    assert found(history) == [("promise 1: an answer names another message", "lost")]


def test_a_duplicate_may_be_answered_with_an_alias() -> None:
    history = right_history()
    history.request("n", "notes", None, 202, 22, execution="alias")
    history.aliases.append(Alias(alias="alias", execution="e-n"))
    assert found(history) == []


def test_a_message_that_was_rejected_is_stored() -> None:
    history = right_history()
    history.requests = [
        changed(one, status=503, execution=None, code="request.unavailable") if one.message == "n" else one
        for one in history.requests
    ]
    assert found(history) == [("rule 38: a message is stored that was rejected", "n")]


def test_a_message_whose_request_was_never_sent_is_stored() -> None:
    history = right_history()
    history.requests = [
        changed(one, status=0, execution=None, code=NOT_SENT) if one.message == "m" else one for one in history.requests
    ]
    assert found(history) == [("rule 38: a message is stored that was rejected", "m")]


#: Answers that don't tell whether the message is stored.
UNKNOWN = [(0, ""), (503, "request.possibly_stored")]


@pytest.mark.parametrize(("status", "code"), UNKNOWN)
def test_a_message_without_a_key_and_with_an_unknown_answer_may_run_or_not(status: int, code: str) -> None:
    history = right_history()
    history.memo("stored", sent=31, node="node1", status=status)
    history.requests[-1] = changed(history.requests[-1], code=code)
    history.request("lost", "memos", None, status, 32, code=code)
    assert found(history) == []


@pytest.mark.parametrize(("status", "code"), UNKNOWN)
def test_a_message_without_a_key_and_with_an_unknown_answer_runs_twice(status: int, code: str) -> None:
    history = right_history()
    history.memo("twice", sent=31, node="node1", status=status)
    history.requests[-1] = changed(history.requests[-1], code=code)
    history.memo("twice", sent=31, node="node2", execution="e-again")
    history.requests.pop()
    assert found(history) == [("promise 1: a message has more executions than requests", "twice")]


def test_an_accepted_message_without_a_key_runs_twice() -> None:
    history = right_history()
    history.memo("m", sent=31, node="node2", execution="e-again")
    history.requests.pop()
    assert found(history) == [("promise 1: a message has more executions than requests", "m")]


def test_an_accepted_message_without_a_key_is_lost() -> None:
    history = right_history()
    forget(history, "e-m")
    assert found(history) == [("promise 1: an accepted message is lost", "m")]


def test_a_message_without_a_key_that_is_accepted_twice_runs_twice() -> None:
    history = right_history()
    history.memo("m", sent=31, node="node2", execution="e-again")
    history.requests[-1] = changed(history.requests[-1], execution="e-again")
    assert found(history) == []


def test_two_requests_without_a_key_that_get_one_execution() -> None:
    history = right_history()
    history.request("m", "memos", None, 202, 31)
    assert found(history) == [("promise 1: two requests without a key got one execution", "m")]


def test_a_request_that_is_rejected_for_no_reason() -> None:
    history = right_history()
    history.request("n", "notes", None, 404, 19)
    assert found(history) == [("a message is rejected", "n")]


def test_a_callback_that_is_rejected() -> None:
    history = right_history()
    history.callbacks.append(changed(history.callbacks[0], status=409))
    assert found(history) == [("a callback is rejected", "e-a")]


def test_a_callback_that_brings_something_else() -> None:
    history = right_history()
    number = next(number for number, one in enumerate(history.calls) if one.step == "done")
    history.calls[number] = changed(history.calls[number], value="yes to b")
    assert found(history) == [("rule 29: a step has another callback", "e-a")]


def test_a_flow_that_is_called_twice() -> None:
    history = right_history()
    history.calls.append(changed(history.call("p-a", "wrap"), execution="p-twin", key="p-twin"))
    history.rows += [changed(row, execution="p-twin", number=99) for row in history.rows if row.execution == "p-a"]
    history.executions += [changed(one, id="p-twin") for one in history.executions if one.id == "p-a"]
    history.stored += [changed(one, execution="p-twin") for one in history.stored if one.execution == "p-a"]
    history.entries += [changed(one, execution="p-twin") for one in history.entries if one.execution == "p-a"]
    assert found(history) == [("promise 2: a flow was called again", "e-a")]


def forget(history: History, execution: str) -> None:
    """Let nothing be left of an execution."""
    history.calls = [one for one in history.calls if one.execution != execution]
    history.rows = [one for one in history.rows if one.execution != execution]
    history.executions = [one for one in history.executions if one.id != execution]
    history.stored = [one for one in history.stored if one.execution != execution]
    history.entries = [one for one in history.entries if one.execution != execution]


def test_a_flow_that_is_never_called() -> None:
    history = right_history()
    forget(history, "p-a")
    assert found(history) == [("promise 3: a flow was never called", "e-a")]


def test_a_called_flow_whose_caller_is_not_there() -> None:
    history = right_history()
    number = next(number for number, one in enumerate(history.executions) if one.id == "p-a")
    history.executions[number] = changed(history.executions[number], parent="e-none")
    assert found(history) == [
        ("promise 3: a flow was never called", "e-a"),
        ("a called flow without a caller", "p-a"),
    ]


def test_a_called_flow_that_gets_another_message() -> None:
    history = right_history()
    retell(history, "p-a", "b")
    assert found(history) == [("a called flow got another message", "p-a")]


def test_an_execution_in_the_live_table_and_in_the_history() -> None:
    history = right_history()
    history.stored.append(Stored(execution="e-n", table="executions_live"))
    assert found(history) == [("an execution is stored twice", "e-n")]


def test_an_execution_that_is_listed_twice() -> None:
    history = right_history()
    history.executions.append(next(one for one in history.executions if one.id == "e-n"))
    assert found(history) == [("an execution isn't listed as it is stored", "e-n")]


def test_an_execution_that_is_stored_and_not_listed() -> None:
    history = right_history()
    history.stored.append(Stored(execution="e-none", table="executions_1"))
    assert found(history) == [("an execution isn't listed as it is stored", "e-none")]


# Effects.


def test_a_doubled_row() -> None:
    history = right_history()
    history.rows.append(changed(history.rows[-1], number=99))
    assert found(history) == [("rule 22: a row is doubled", "e-o")]


def test_a_missing_row() -> None:
    history = right_history()
    history.rows.pop()
    assert found(history) == [("rule 22: a row is missing", "e-o")]


def test_a_row_of_no_execution() -> None:
    history = right_history()
    history.rows.append(changed(history.rows[-1], number=99, execution="e-none"))
    assert found(history) == [("rule 22: a row of no execution", "e-none")]


def test_a_call_that_was_never_made() -> None:
    history = right_history()
    history.calls.remove(history.call("p-a", "wrap"))
    assert found(history) == [("promise 3: a call was never made", "p-a")]


@pytest.mark.parametrize("number", [0, 1])
def test_an_item_of_a_list_whose_call_was_never_made(number: int) -> None:
    history = right_history()
    history.calls = [one for one in history.calls if (one.execution, one.place[1:2]) != ("e-a", [f"part {number}"])]
    assert found(history) == [("promise 3: a call was never made", "e-a")]


def test_a_call_of_an_item_that_the_list_does_not_have() -> None:
    history = right_history()
    history.calls.append(changed(history.call("e-a", "part"), key="e-a part 2", place=[2, "part 2", 1]))
    assert found(history) == [("a call that the flow doesn't have", "e-a")]


def test_a_call_of_no_execution() -> None:
    history = right_history()
    history.calls.append(changed(history.call("e-n", "note"), key="e-none", execution="e-none"))
    assert found(history) == [("a call of no execution", "e-none")]


def test_an_action_that_is_called_again_under_another_key() -> None:
    history = right_history()
    history.calls.append(changed(history.call("e-n", "note"), key="another"))
    assert found(history) == [("promise 3: an action has several keys", "e-n")]


def test_two_actions_with_one_key() -> None:
    history = right_history()
    number = history.calls.index(history.call("e-n", "note"))
    history.calls[number] = changed(history.calls[number], key=history.call("e-b", "closed").key)
    # They look like one action that is repeated.
    assert found(history) == [("promise 3: several actions have one key", "e-b"), (REPEATED, "e-n")]


@pytest.mark.parametrize("kind", ["calls", "rows"])
def test_an_execution_that_sends_on_another_message(kind: str) -> None:
    history = right_history()
    records = getattr(history, kind)
    records[:] = [changed(one, message="m") if one.execution == "e-n" else one for one in records]
    assert found(history) == [("an execution sends on another message", "e-n")]


def test_a_wait_that_ends_early() -> None:
    history = right_history()
    number = history.calls.index(history.call("e-a", "after_pause"))
    history.calls[number] = changed(history.calls[number], started=11.0)
    assert found(history) == [("C8: a wait ended early", "e-a")]


# Repeated calls.

REPEATED = "C2: a repeated call"


def test_a_repeated_call_without_a_fault() -> None:
    history = right_history()
    again(history, "e-a", "check", at=12, node="node2")
    assert found(history) == [(REPEATED, "e-a")]


def test_calls_that_were_answered_with_503_may_be_repeated() -> None:
    history = right_history()
    history.calls.insert(0, changed(history.call("e-a", "check"), status=503, started=10.05, ended=10.06))
    assert found(history) == []


def killed_during_the_last_call(kind: str, target: str = "node1", started: float = 13.52, ended: float = 16) -> History:
    """Order `a` reaches its last call on node1, which is disturbed then; node2 calls again, at 14.2, and goes on."""
    history = right_history()
    history.rows = [changed(row, at=14.5) if row.at == 14 else row for row in history.rows]
    again(history, "e-a", "done", at=14.2, node="node2")
    history.disturb(kind, target, started, ended)
    return history


@pytest.mark.parametrize("kind", [KILL, PAUSE, CUT, EXIT])
def test_a_call_in_flight_on_a_disturbed_node_may_run_again(kind: str) -> None:
    assert found(killed_during_the_last_call(kind)) == []


def test_a_call_in_flight_when_the_database_restarts_may_run_again() -> None:
    assert found(killed_during_the_last_call(RESTART, POSTGRES)) == []


@pytest.mark.parametrize("kind", [SLOW, CLOCK, CUT_QUEUE, SLOW_QUEUE])
def test_a_slow_link_a_wrong_clock_and_a_cut_or_slow_queue_are_no_reasons(kind: str) -> None:
    assert found(killed_during_the_last_call(kind)) == [(REPEATED, "e-a")]


@pytest.mark.parametrize("kind", [KILL, PAUSE])
def test_a_fault_of_a_nats_server_is_no_reason(kind: str) -> None:
    assert found(killed_during_the_last_call(kind, "nats1")) == [(REPEATED, "e-a")]


def test_a_fault_of_another_node_is_no_reason() -> None:
    history = right_history()
    again(history, "e-n", "note", at=20.25, node="node1", life=2)
    history.disturb(KILL, "node2", 20.22, 21)
    assert found(history) == [(REPEATED, "e-n")]


def test_a_call_whose_process_is_unknown_may_be_any_node_s() -> None:
    history = killed_during_the_last_call(KILL, "node2")
    number = history.calls.index(history.call("e-a", "done"))
    history.calls[number] = changed(history.calls[number], node=None, life=0)
    assert found(history) == []


def test_one_fault_allows_one_repeated_call_of_an_action() -> None:
    history = killed_during_the_last_call(PAUSE)
    again(history, "e-a", "done", at=14.4, node="node2")
    assert found(history) == [(REPEATED, "e-a")]


def test_a_call_of_a_step_that_was_passed_before_the_fault() -> None:
    history = killed_during_the_last_call(KILL)
    again(history, "e-a", "check", at=14.1, node="node2")
    assert found(history) == [(REPEATED, "e-a")]


def test_a_call_whose_result_was_stored_long_before_the_fault() -> None:
    history = right_history()
    history.rows = [changed(row, at=40.5) if row.mark == "noted" else row for row in history.rows]
    history.disturb(KILL, "node1", 38, 39)
    again(history, "e-n", "note", at=40, node="node1", life=2)
    assert found(history) == [(REPEATED, "e-n")]


@pytest.mark.parametrize(("kind", "target"), [(RESTART, POSTGRES), (CUT, "node1"), (SLOW, "node1")])
def test_a_result_is_stored_later_after_an_outage(kind: str, target: str) -> None:
    history = right_history()
    history.rows = [changed(row, at=40.5) if row.mark == "noted" else row for row in history.rows]
    history.disturb(kind, target, 19, 25)
    history.disturb(KILL, "node1", 34, 35)
    again(history, "e-n", "note", at=40, node="node1", life=2)
    assert found(history) == []


def late(history: History, *, at: float, node: str = "node2") -> None:
    """Node2 is paused from 13.4 on, when the last call of order `a` was next; node1 makes that call, at 13.5."""
    history.disturb(PAUSE, "node2", 13.4, 30)
    again(history, "e-a", "done", at=at, node=node)


def test_a_late_call_of_a_paused_node_is_allowed_once() -> None:
    history = right_history()
    late(history, at=30.5)
    assert found(history) == []


def test_a_second_late_call_is_not_allowed() -> None:
    history = right_history()
    late(history, at=30.5)
    again(history, "e-a", "done", at=30.7, node="node2")
    assert found(history) == [(REPEATED, "e-a")]


def test_a_late_call_long_after_the_pause_is_not_allowed() -> None:
    history = right_history()
    late(history, at=50)
    assert found(history) == [(REPEATED, "e-a")]


def test_a_late_call_of_a_node_that_was_not_paused_is_not_allowed() -> None:
    history = right_history()
    late(history, at=30.5, node="node3")
    assert found(history) == [(REPEATED, "e-a")]


def test_a_late_call_of_a_step_that_was_passed_before_the_pause_is_not_allowed() -> None:
    history = right_history()
    history.disturb(PAUSE, "node2", 13.4, 30)
    again(history, "e-a", "check", at=30.5, node="node2")
    assert found(history) == [(REPEATED, "e-a")]


def test_two_actions_in_flight_may_each_run_again() -> None:
    history = right_history()
    history.disturb(KILL, "node1", 10.32, 10.4)
    for call in [one for one in history.calls if (one.execution, one.step) == ("e-a", "part")]:
        history.calls.append(changed(call, started=10.45, ended=10.46, node="node2"))
    assert found(history) == []


# Lines.


def swap(history: History) -> None:
    """Let order `b` run before order `a`."""
    numbers = {1: 4, 3: 6, 4: 1, 6: 3}
    history.rows = [changed(row, number=numbers.get(row.number, row.number)) for row in history.rows]


def test_a_line_out_of_order() -> None:
    history = right_history()
    swap(history)
    assert found(history) == [("C6: a line is out of order", "e-a")]


def test_requests_that_overlap_may_run_in_either_order() -> None:
    history = right_history()
    swap(history)
    history.requests = [changed(one, started=9.55) if one.message == "b" else one for one in history.requests]
    assert found(history) == []


def test_two_executions_of_a_line_that_overlap() -> None:
    history = right_history()
    ends = [row for row in history.rows if (row.execution, row.mark) == ("e-a", "end")]
    history.rows = [changed(row, number=4.5) if row in ends else row for row in history.rows]
    assert found(history) == [("C6: two of a line overlap", "e-b")]


# Concurrency.


def third_of_a_pair(history: History) -> None:
    """Let `p3` run while `p1` on node1 and `p2` on node2 do."""
    number = history.calls.index(history.call("e-p3", "hold"))
    history.calls[number] = changed(history.calls[number], started=26.5)


def test_more_executions_at_a_time_than_the_flow_allows() -> None:
    history = right_history()
    third_of_a_pair(history)
    assert found(history) == [("C7: too many executions at a time", "e-p3")]


@pytest.mark.parametrize("kind", [KILL, PAUSE, CUT, EXIT])
def test_a_call_of_a_disturbed_node_does_not_show_that_its_execution_runs(kind: str) -> None:
    history = right_history()
    third_of_a_pair(history)
    history.disturb(kind, "node1", 26.4, 30)
    assert found(history) == []


@pytest.mark.parametrize(("kind", "target"), [(SLOW, "node1"), (CLOCK, "node1"), (KILL, "node3"), (PAUSE, "nats1")])
def test_other_faults_do_not_excuse_too_many_executions(kind: str, target: str) -> None:
    history = right_history()
    third_of_a_pair(history)
    history.disturb(kind, target, 26.4, 30)
    assert found(history) == [("C7: too many executions at a time", "e-p3")]


# Deployments.


def edited(history: History, execution: str, edition: int) -> None:
    """Let an execution run an edition from its first call to its last row."""
    history.calls = [changed(one, edition=edition) if one.execution == execution else one for one in history.calls]
    history.rows = [changed(one, edition=edition) if one.execution == execution else one for one in history.rows]


def test_an_execution_that_changes_its_version() -> None:
    history = right_history()
    history.rows = [
        changed(row, edition=1) if (row.execution, row.mark) == ("e-a", "end") else row for row in history.rows
    ]
    assert found(history) == [("promise 6: an execution changed its version", "e-a")]


def test_an_execution_that_begins_with_an_earlier_version() -> None:
    history = right_history()
    edited(history, "e-o", 0)
    assert found(history) == [("C12: an execution began with an earlier version", "e-o")]


def test_a_message_that_was_sent_before_the_deployment_was_answered_may_run_either_version() -> None:
    history = right_history()
    edited(history, "e-n", 1)
    assert found(history) == []
    history.deployments = [changed(one, ended=30.01) for one in history.deployments]
    edited(history, "e-o", 0)
    assert found(history) == []


@pytest.mark.parametrize(("status", "pending"), [(200, ["node2"]), (0, []), (503, [])])
def test_a_deployment_that_is_pending_or_unknown_may_serve_or_not(status: int, pending: list[str]) -> None:
    history = right_history()
    history.deploy(2, at=29, status=status, pending=pending)
    assert found(history) == []
    edited(history, "e-o", 2)
    assert found(history) == []


def test_a_deployment_that_was_rejected_serves() -> None:
    history = right_history()
    history.deploy(2, at=29, status=412)
    assert found(history) == []
    edited(history, "e-o", 2)
    assert found(history) == [("a deployment that was rejected serves", "e-o")]


def test_a_deployment_that_is_rejected_for_no_reason() -> None:
    history = right_history()
    history.deploy(2, at=31, status=422)
    assert found(history) == [("a deployment is rejected", "edition 2")]


def test_nodes_that_serve_different_versions_after_the_run() -> None:
    history = right_history()
    history.serve("node3", "v2")
    assert found(history) == [("C12: nodes serve different versions", "notes")]


# The journal and the nodes.


def test_a_gap_in_a_journal() -> None:
    history = right_history()
    history.entries = [one for one in history.entries if (one.execution, one.seq) != ("e-a", 3)]
    assert found(history) == [("promise 2: a journal has a gap", "e-a")]


def test_a_step_that_succeeds_twice() -> None:
    history = right_history()
    last = [one for one in history.entries if one.execution == "e-a"][-1]
    history.entries.append(changed(last, seq=last.seq + 1))
    assert found(history) == [("promise 2: a step ran again", "e-a")]


def test_an_empty_journal() -> None:
    history = right_history()
    history.entries = [one for one in history.entries if one.execution != "e-n"]
    assert found(history) == [("promise 2: a journal is empty", "e-n")]


@pytest.mark.parametrize(("detail", "wrong"), [("after it was ready", True), ("while it started", False)])
def test_a_node_that_ends_by_itself(detail: str, wrong: bool) -> None:
    history = right_history()
    history.disturbances.append(
        Disturbance(kind=EXIT, target="node1", detail=f"exit code 1 {detail}", started=30, ended=30)
    )
    assert found(history) == ([("a node ended by itself", "node1")] if wrong else [])


# The program.


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    history = right_history()
    late(history, at=30.5)
    evidence = history.evidence()
    files = Files(tmp_path)
    files.add(evidence.run, *evidence.requests, *evidence.callbacks, *evidence.calls, *evidence.rows)
    files.add(*evidence.deployments, *evidence.served)
    files.add(*evidence.disturbances, *evidence.executions, *evidence.stored, *evidence.aliases, *evidence.entries)
    assert load(tmp_path) == evidence


def test_a_report_names_execution_rule_and_time() -> None:
    history = right_history()
    again(history, "e-a", "check", at=12, node="node2")
    evidence = history.evidence()
    lines = report(evidence, violations(evidence)).splitlines()
    assert lines[-1].startswith("  C2: a repeated call at 2.50 s: e-a: step check [1] of message a was called again")
