"""What is said of steps that gather messages."""

from typing import Any

import pytest
from tests.unit.flows.check.lint_harness import Check, one

from hookline.flows.blocks.batch import _around


def gather(**settings: Any) -> dict[str, Any]:
    return {"id": "lines", "use": "batch", "with": {"size": 10, "within": "10s", **settings}}


LOG = {"use": "log", "with": {"message": "x"}}
TRY = {"id": "t", "try": [LOG], "catch": [LOG]}
READS: dict[str, Any] = {"id": "sum", "use": "map", "with": {"body": "$.body[0].n"}}


def test_a_step_that_gathers_by_count_and_time_is_right_also_in_a_switch_and_a_try(check: Check) -> None:
    switch = {"id": "s", "switch": [{"otherwise": True, "steps": [TRY | {"try": [gather(key="$.body.id")]}]}]}
    assert check(switch) == []
    assert check(TRY | {"catch": [gather(body="$.error.code")]}) == []


def test_something_has_to_close_a_batch(check: Check) -> None:
    problem = one(check({"id": "lines", "use": "batch", "with": {"key": "$.body.id"}}), "missing_key")
    assert problem.pointer == "/steps/0/with"


def test_without_a_time_the_last_messages_may_wait_for_ever(check: Check) -> None:
    problem = one(check({"id": "lines", "use": "batch", "with": {"size": 2}}), "batch_for_ever")
    assert (problem.pointer, problem.severity) == ("/steps/0/with", "warning")


@pytest.mark.parametrize("size", [1, 10_001, "7", 2.5, "$.body.size"])
def test_a_size_is_between_two_and_ten_thousand(check: Check, size: Any) -> None:
    assert one(check(gather(size=size)), "invalid_value").pointer == "/steps/0/with/size"


@pytest.mark.parametrize("within", ["0s", "soon"])
def test_a_time_is_some_time(check: Check, within: str) -> None:
    assert one(check(gather(within=within)), "invalid_value").pointer == "/steps/0/with/within"


def test_a_key_that_is_the_same_for_all_is_noticed(check: Check) -> None:
    assert one(check(gather(key="customer")), "constant_key").severity == "warning"


@pytest.mark.parametrize("key", ["credential", "retry", "timeout", "rate", "delivery"])
def test_what_is_an_actions_is_rejected(check: Check, key: str) -> None:
    value = {"retry": {}, "timeout": "2d", "rate": "5/s", "delivery": "at_most_once"}.get(key, "x")
    problem = one(check({**gather(), key: value}), "unknown_key")
    assert problem.pointer == f"/steps/0/{key}"


@pytest.mark.parametrize(
    ("around", "pointer", "remedy"),
    [
        ({"id": "a", "foreach": "$.body", "steps": [gather()]}, "/steps/0/steps/0", "at the top"),
        ({"id": "a", "parallel": {"x": [LOG], "y": [gather()]}}, "/steps/0/parallel/y/0", "at the top"),
        (TRY | {"finally": [gather()]}, "/steps/0/finally/0", "at the top"),
        (
            {"id": "a", "foreach": "$.body", "steps": [TRY | {"try": [gather()]}]},
            "/steps/0/steps/0/try/0",
            "in a switch",
        ),
    ],
)
def test_one_cannot_stand_where_an_execution_comes_often_or_others_wait_for_it(
    check: Check, around: Any, pointer: str, remedy: str
) -> None:
    problem = one(check(around), "batch_place")
    assert problem.pointer == pointer
    assert remedy in problem.remedy


def test_failures_are_gathered_in_a_flow_of_their_own(check: Check) -> None:
    problem = one(check(LOG, on_error=[gather()]), "batch_place")
    assert problem.pointer == "/on_error/0"
    assert "name a flow" in problem.remedy


def test_the_blocks_around_a_step_are_told_by_its_pointer() -> None:
    pointer = "/on_error/2/switch/0/steps/1/try/0/parallel/steps/3/finally/0"
    assert list(_around(pointer)) == ["on_error", "switch", "try", "parallel", "finally"]
    assert list(_around("/steps/12")) == []


def test_executions_that_run_one_at_a_time_could_not_join(check: Check) -> None:
    assert one(check(gather(), order_by="$.body.id"), "batch_in_order").pointer == "/steps/0"
    schedule = {"use": "schedule", "with": {"every": "1m"}}
    assert one(check(gather(), trigger=schedule), "batch_in_order").pointer == "/steps/0"
    overlapping = {"use": "schedule", "with": {"every": "1m", "overlap": True}}
    assert check(gather(), trigger=overlapping) == []
    assert check(gather(), concurrency=1) == [], "one that waits lets others run"


@pytest.mark.parametrize("respond", ["reply", "finished"])
def test_a_caller_whose_execution_joins_a_batch_gets_no_answer(check: Check, respond: str) -> None:
    verify = {"scheme": "signed", "credential": "hook"}
    trigger = {"use": "webhook", "with": {"verify": verify, "respond": respond}}
    answer = {"id": "answer", "use": "reply", "with": {"body": "ok"}}
    steps = [gather(), answer] if respond == "reply" else [gather()]
    problem = one(check(*steps, trigger=trigger), "reply_missing")
    assert (problem.pointer, problem.severity) == ("/trigger/with/respond", "warning")
    assert "'lines'" in problem.message
    if respond == "reply":
        assert check(answer, gather(), trigger=trigger) == [], "who is answered before misses nothing"


def test_behind_it_the_body_is_a_list_of_what_it_was(check: Check) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "number"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    assert check(gather(), READS, schema=schema) == []
    wrong = {"id": "sum", "use": "map", "with": {"body": "$.body.n"}}
    assert one(check(gather(), wrong, schema=schema), "no_such_key").pointer == "/steps/1/with/body"
    of_others = {"id": "sum", "use": "map", "with": {"body": "$.body[0].m"}}
    assert one(check(gather(), of_others, schema=schema), "no_such_key").pointer == "/steps/1/with/body"
    assert one(check(gather(body="$.body.n"), READS, schema=schema), "no_such_key").pointer == "/steps/1/with/body"
    leaders = {"id": "ids", "use": "map", "with": {"body": "$.steps.lines.executions[0]"}}
    assert check(gather(), leaders, schema=schema) == []


def test_a_key_of_what_is_redacted_is_rejected(check: Check) -> None:
    problem = one(check(gather(key="$.body.card"), redact=["$.body.card"]), "redacted_key")
    assert problem.pointer == "/steps/0/with/key"
