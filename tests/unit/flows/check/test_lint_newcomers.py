"""The linter finds what newcomers get wrong: texts that look like expressions, late replies, two settings."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.flows.check.lint_harness import order

from hookline.discovery.plugin_loader import load_plugins
from hookline.flows.check.check_flow import check_flow
from hookline.kernel.errors import Problem
from hookline.kernel.json import encode

SHIPPED = load_plugins()
Check = Callable[..., list[Problem]]


def shipped(*steps: dict[str, Any], **flow: Any) -> list[Problem]:
    """The problems of a flow of steps of the shipped plugins."""
    trigger = {"use": "webhook", "with": {"verify": "none", **flow.pop("webhook", {})}}
    document = {"id": "orders", "trigger": trigger, **flow, "steps": list(steps)}
    found = check_flow(encode(document), SHIPPED, file="orders.json").problems
    return [problem for problem in found if problem.code != "not_verified"]


def codes(problems: list[Problem]) -> list[tuple[str, str, str]]:
    return [(problem.code, problem.pointer, problem.severity) for problem in problems]


def log(message: Any, **settings: Any) -> dict[str, Any]:
    return {"use": "log", "with": {"message": message, **settings}}


@pytest.mark.parametrize("value", ["x", "a {{ body.sku }}", "{{ body.sku }}", "{{ body.sku | upper }}", "$.body.sku"])
def test_a_key_that_an_action_does_not_have_is_unknown_whatever_its_value_is(check: Check, value: str) -> None:
    found = check(order(skuu=value))
    assert codes(found) == [("unknown_key", "/steps/0/with/skuu", "error")]
    assert "did you mean 'sku'" in found[0].remedy


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("hello $.body.name", "hello {{ body.name }}"),
        ("${body.x}", "{{ body.x }}"),
        ("${ steps.a.body.x } and ${vars.y}", "{{ steps.a.body.x }} and {{ vars.y }}"),
        ("#{body.x}", "{{ body.x }}"),
        ("to {body.name}!", "to {{ body.name }}!"),
        ("$body.name", "{{ body.name }}"),
        ("a $steps.a.body[0] b", "a {{ steps.a.body[0] }} b"),
    ],
)
def test_text_that_looks_like_an_expression_is_reported_with_what_to_write(text: str, written: str) -> None:
    (problem,) = shipped(log(text))
    assert codes([problem]) == [("plain_text", "/steps/0/with/message", "warning")]
    assert f'write "{written}"' in problem.remedy


@pytest.mark.parametrize(
    "value",
    [
        {"literal": "hello $.body.name"},
        "hello {{ body.name }}",
        "$.body.name",
        "costs 5 $ a body",
        "the body.name of it",
        "${HOME}/x",
        "{json: true}",
        "somebody@body.example",
        "US$.body",
    ],
)
def test_other_text_is_left_alone(value: Any) -> None:
    assert "plain_text" not in [problem.code for problem in shipped(log(value))]


def test_text_is_looked_at_wherever_settings_are() -> None:
    inner = {"use": "map", "with": {"body": {"a": [{"b": "x $.body.y"}]}}}
    found = shipped({"id": "each", "foreach": "$.body", "steps": [inner]}, on_error=[log("failed: $.error.message")])
    assert [problem.pointer for problem in found] == [
        "/steps/0/steps/0/with/body/a/0/b",
        "/on_error/0/with/message",
    ]


def test_a_mapper_that_the_flow_does_not_list_is_reported() -> None:
    step = {"use": "map", "with": {"body": {"jsonata": "$sum($.body.x)"}}}
    (problem,) = shipped(step)
    assert codes([problem]) == [("mapper_not_listed", "/steps/0/with/body", "warning")]
    assert '"mappers": ["jsonata"]' in problem.remedy
    assert shipped({"use": "map", "with": {"body": {"jsonata": "$sum(body.x)"}}}, mappers=["jsonata"]) == []
    assert shipped({"use": "map", "with": {"body": {"literal": {"jsonata": "x"}}}}) == []
    assert shipped({"use": "map", "with": {"body": {"jsonata": 1, "other": 2}}}) == []


REPLY = {"id": "answer", "use": "reply"}
WAITS: dict[str, dict[str, Any]] = {
    "sleep": {"id": "pause", "use": "sleep", "with": {"for": "1m"}},
    "webhook": {"id": "pause", "use": "webhook", "with": {"timeout": "1h"}},
    "webhook without a limit": {"id": "pause", "use": "webhook"},
}


@pytest.mark.parametrize("wait", WAITS)
def test_a_reply_after_a_wait_that_is_longer_than_the_caller_waits_is_reported(wait: str) -> None:
    (problem,) = shipped(WAITS[wait], REPLY, webhook={"respond": "reply"})
    assert codes([problem]) == [("reply_late", "/steps/1", "warning")]
    assert "waits at step 'pause', and after 30 s the caller gets 504" in problem.message


def test_waits_add_up_and_count_in_blocks_before_and_around_the_reply() -> None:
    short = {"use": "sleep", "with": {"for": "20s"}}
    assert [problem.code for problem in shipped(short, short, REPLY, webhook={"respond": "reply"})] == ["reply_late"]
    inside = {"switch": [{"otherwise": True, "steps": [WAITS["sleep"]]}]}
    around = {"try": [WAITS["sleep"], {"switch": [{"otherwise": True, "steps": [REPLY]}]}], "finally": [log("x")]}
    for steps in ([inside, REPLY], [around]):
        found = [problem.code for problem in shipped(*steps, webhook={"respond": "reply"})]
        assert "reply_late" in found


def test_a_reply_in_time_is_no_problem() -> None:
    short = {"use": "sleep", "with": {"for": "20s"}}
    other_case = {
        "switch": [
            {"when": "{{ body.x }}", "steps": [{**REPLY, "id": "first"}, WAITS["sleep"]]},
            {"otherwise": True, "steps": [REPLY]},
        ]
    }
    assert shipped(short, REPLY, WAITS["sleep"], webhook={"respond": "reply"}) == []
    assert shipped(WAITS["sleep"], REPLY, webhook={"respond": "reply", "respond_timeout": "2m"}) == []
    assert shipped(other_case, webhook={"respond": "reply"}) == []


SQL = {"use": "sql.query", "with": {"sql": "SELECT 1"}}


@pytest.mark.parametrize(
    ("steps", "flow", "pointer"),
    [
        ([{**SQL, "with": {"url": "postgresql://jo:secret@db/x", "sql": "SELECT 1"}}], {}, "/steps/0/with/url"),
        (
            [{**SQL, "with": {"url": "$.vars.db", "sql": "SELECT 1"}}],
            {"vars": {"db": "mysql://jo:secret@db/x"}},
            "/vars/db",
        ),
        ([{"use": "map", "with": {"body": {"at": ["ftp://jo:secret@host/x"]}}}], {}, "/steps/0/with/body/at/0"),
    ],
)
def test_a_password_in_a_url_is_reported(steps: list[dict[str, Any]], flow: dict[str, Any], pointer: str) -> None:
    (problem,) = shipped(*steps, **flow)
    assert codes([problem]) == [("secret_in_flow", pointer, "warning")]
    assert "secret" not in problem.message.replace("a secret", "")


def test_a_password_in_a_url_that_is_shown_to_others_is_one_problem() -> None:
    (problem,) = shipped({"use": "http.request", "with": {"url": "https://jo:secret@api.example/x"}})
    assert problem.code == "secret_shown"


INSERT = {"url": "sqlite:///a.db", "table": "t"}
ROW = {"a": "$.body.a"}
EITHER: list[tuple[str, dict[str, Any], str]] = [
    ("sql.insert", {**INSERT, "row": ROW, "rows": [ROW]}, "error"),
    ("sql.insert", {**INSERT, "row": "$.body.row", "rows": "$.body.rows"}, "warning"),
    ("sql.upsert", {**INSERT, "row": ROW, "rows": [ROW]}, "error"),
    ("file.write", {"path": "a", "content": "x", "file": "y"}, "error"),
    ("csv.parse", {"file": "a", "text": "b"}, "error"),
    ("xml.parse", {"file": "a", "text": "b"}, "error"),
    ("http.request", {"url": "https://a.example", "method": "POST", "json": None, "form": {"a": 1}}, "error"),
    ("sleep", {"for": "1m", "until": "2026-01-31T08:00:00Z"}, "error"),
]


@pytest.mark.parametrize(("use", "settings", "severity"), EITHER)
def test_two_settings_of_which_only_one_may_be_given_are_reported(
    use: str, settings: dict[str, Any], severity: str
) -> None:
    found = [problem for problem in shipped({"use": use, "with": settings}) if problem.code == "settings_conflict"]
    assert [problem.severity for problem in found] == [severity]
    assert "give one of them" in found[0].remedy


def test_one_of_them_has_to_be_given_and_null_is_none() -> None:
    (problem,) = shipped({"use": "sql.insert", "with": {**INSERT, "row": None}})
    assert codes([problem]) == [("missing_key", "/steps/0/with", "error")]
    assert "`row` or `rows`" in problem.message
    assert shipped({"use": "sql.insert", "with": {**INSERT, "row": ROW, "rows": None}}) == []


def test_each_setting_beside_which_others_must_not_be_given_names_settings() -> None:
    marked = {name: action for name, action in SHIPPED.actions.items() if action.either}
    assert {
        "sql.insert",
        "sql.upsert",
        "file.write",
        "s3.write",
        "csv.parse",
        "xml.parse",
        "http.request",
        "sleep",
    } <= marked.keys()
    for action in marked.values():
        known = {info.alias for info in action.settings.model_fields.values()}
        for name, mark in action.either.items():
            assert {name, *mark.others} <= known, action.name


@pytest.mark.cluster_rule("C14")
def test_files_of_one_host_are_reported_if_nodes_run_on_several() -> None:
    read = {"use": "file.read", "with": {"path": "a.json", "format": "json"}}
    query = {"use": "sql.query", "with": {"url": "sqlite:///orders.db", "sql": "SELECT 1"}}
    document = encode({"id": "orders", "trigger": {"use": "manual"}, "steps": [read, query]})
    found = [
        problem for problem in check_flow(document, SHIPPED, several_hosts=True).problems if problem.code == "one_host"
    ]
    assert codes(found) == [
        ("one_host", "/steps/0/use", "warning"),
        ("one_host", "/steps/1/with/url", "warning"),
    ]
    assert "one_host" not in {problem.code for problem in check_flow(document, SHIPPED).problems}
