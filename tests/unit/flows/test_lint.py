"""Every mistake of a flow is reported at once, each with its file, line, JSON pointer and remedy."""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from hookline.discovery import GROUP, discover
from hookline.errors import Problem
from hookline.flows.files import scan
from hookline.flows.lint import check as check_flow
from hookline.jsontypes import encode
from hookline.registry import Registry

Check = Callable[..., list[Problem]]

KEY = {"credential": "acme-prod"}


def order(**settings: Any) -> dict[str, Any]:
    return {"id": "book", "use": "acme.create_order", "with": {"sku": "x", **settings}, **KEY}


def one(problems: list[Problem], code: str) -> Problem:
    assert [problem.code for problem in problems] == [code], "\n".join(map(str, problems))
    assert problems[0].file == "orders.json"
    assert problems[0].remedy
    return problems[0]


SIX = b"""{
  "id": "orders",
  "titel": "Orders",
  "trigger": {"use": "webhook", "with": {"verify": {"scheme": "signd", "credential": "hook"}}},
  "steps": [
    {"id": "paid", "use": "filtr", "with": {"keep": true}},
    {"id": "book", "use": "acme.create_order", "credential": "acme-prod",
     "with": {"sku": "x",
              "quantity": "many"}},
    {"id": "tell", "use": "log", "with": {"message": "$.steps.bok.body"}},
    {"id": "tell", "use": "stop"}
  ]
}"""


def test_six_mistakes_are_six_problems_each_with_its_place_and_remedy(registry: Registry) -> None:
    problems = check_flow(SIX, registry, {"hook": "signed", "acme-prod": "acme"}, file="orders.json")
    assert [(problem.line, problem.pointer, problem.code) for problem in problems] == [
        (3, "/titel", "unknown_key"),
        (4, "/trigger/with/verify/scheme", "unknown_scheme"),
        (6, "/steps/0/use", "unknown_action"),
        (9, "/steps/1/with/quantity", "invalid_value"),
        (10, "/steps/2/with/message", "unknown_step"),
        (11, "/steps/3/id", "duplicate_id"),
    ]
    assert all(problem.file == "orders.json" and problem.remedy for problem in problems)
    assert [problem.remedy for problem in problems][:3] == [
        "did you mean 'title'?",
        "did you mean 'signed'?",
        "did you mean 'filter'?",
    ]


def test_a_right_flow_has_no_problems(check: Check) -> None:
    assert not check(
        {"use": "filter", "with": {"keep": "$.body.paid"}},
        {"id": "each", "foreach": "$.body.lines", "as": "line", "steps": [order(sku="$.line.sku", quantity="$.index")]},
        {"use": "log", "with": {"message": "$.steps.each.body", "fields": {"n": "$.vars.n"}}},
        vars={"n": 1},
        credentials={"hook": "signed", "acme-prod": "acme"},
    )


def test_what_is_not_json_is_one_problem(registry: Registry) -> None:
    assert [problem.code for problem in check_flow(b"{", registry)] == ["syntax"]


@pytest.mark.parametrize("document", [b"[]", b"null", b"5", b'"x"'])
def test_a_flow_is_an_object(registry: Registry, document: bytes) -> None:
    problems = check_flow(document, registry)
    assert [(problem.pointer, problem.code) for problem in problems] == [("", "invalid_value")]


# --- Names of components ---------------------------------------------------------------------------------------


def test_an_unknown_trigger_is_named_with_what_was_meant(check: Check) -> None:
    problem = one(check(trigger={"use": "webhok", "with": {}}), "unknown_trigger")
    assert (problem.pointer, problem.remedy) == ("/trigger/use", "did you mean 'webhook'?")


def test_a_name_of_a_plugin_that_failed_to_load_is_reported_with_its_error(
    broken_registry: Registry, flow: Callable[..., Any]
) -> None:
    document = flow(order(), trigger={"use": "webhook", "with": {"verify": "none"}})
    problem = check_flow(encode(document), broken_registry)[-1]
    assert problem.code == "plugin_failed"
    assert "'acme' (acme-plugin 1.2) failed to load: ImportError: no licence" in problem.message


def test_what_no_name_is_like_leads_to_the_list_of_components(check: Check) -> None:
    assert "hookline components" in one(check({"use": "xyzzy.plugh"}), "unknown_action").remedy


def test_an_action_that_is_unavailable_says_why_and_what_to_do(check: Check) -> None:
    assert one(check({"use": "gone.away"}), "unavailable").remedy == "pip install 'hookline[gone]'"


# --- Settings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "pointer", "remedy"),
    [
        ({"quantity": 0}, "quantity", "greater than or equal to 1"),
        ({"quantity": "x"}, "quantity", "valid integer"),
        ({"kind": "rsh"}, "kind", "did you mean 'rush'?"),
        ({"tags": "one"}, "tags", "write a list"),
        ({"tags": ["a", None]}, "tags/1", "valid string"),
        ({"sku": {"a": 1}}, "sku", "valid string"),
    ],
)
def test_constant_settings_are_checked_against_the_signature(
    check: Check, settings: dict[str, Any], pointer: str, remedy: str
) -> None:
    problem = one(check(order(**settings)), "invalid_value")
    assert problem.pointer == f"/steps/0/with/{pointer}"
    assert remedy in problem.remedy


def test_numbers_may_stand_where_text_is_wanted(check: Check) -> None:
    """SEMANTICS 24."""
    assert not check(order(sku=4711))


def test_a_missing_setting_is_named_with_its_description(check: Check) -> None:
    problem = one(check({"use": "acme.create_order", **KEY}), "missing_key")
    assert "'sku'" in problem.message
    assert problem.remedy == "add it: What is ordered."


def test_a_misspelt_setting_is_one_mistake_also_where_it_is_required(check: Check) -> None:
    problem = one(check({"use": "acme.create_order", "with": {"skuu": "$.body.sku"}, **KEY}), "unknown_key")
    assert (problem.pointer, problem.remedy) == ("/steps/0/with/skuu", "did you mean 'sku'?")


def test_all_settings_are_checked_at_once(check: Check) -> None:
    problems = check(order(quantity=-1, kind="x", gift="maybe", colour="red"))
    assert sorted(problem.pointer.rpartition("/")[2] for problem in problems) == ["colour", "gift", "kind", "quantity"]


def test_expressions_are_left_to_the_run_where_their_type_is_not_known(check: Check) -> None:
    assert not check(order(quantity="$.body.n", kind="$.body.kind", tags="$.body.tags"))


def test_an_expression_of_a_known_type_is_checked_by_it(check: Check) -> None:
    """SEMANTICS 24: an expression's type is checked where it is known."""
    problem = one(check(order(quantity="$.body.lines[*].n")), "wrong_type")
    assert problem.pointer == "/steps/0/with/quantity"
    assert "a list" in problem.message


def test_an_expression_that_reads_only_vars_is_checked_by_its_value(check: Check) -> None:
    assert not check(order(quantity="$.vars.n"), vars={"n": 5})
    assert one(check(order(quantity="$.vars.n"), vars={"n": 0}), "invalid_value").pointer == "/steps/0/with/quantity"


def test_a_literal_is_checked_as_what_it_stands_for(check: Check) -> None:
    assert not check(order(sku={"literal": "$.not.a.path"}))
    one(check(order(quantity={"literal": "$.x"})), "invalid_value")


def test_a_setting_that_no_message_may_choose_reads_vars_alone(check: Check) -> None:
    """SEMANTICS 35."""
    assert not check({"use": "lake.read", "with": {"url": "$.vars.url", "where": "$.body.w"}}, vars={"url": "x"})
    for source in ("$.body.url", "$..url", "$['body', 'vars'].url"):
        assert one(check({"use": "lake.read", "with": {"url": source}}), "not_from_vars").pointer.endswith("/url")


# --- Expressions and their scope -------------------------------------------------------------------------------


def test_a_bad_expression_is_a_problem_at_its_place(check: Check) -> None:
    problem = one(check({"use": "map", "with": {"body": {"a": ["$.body["]}}}), "expression.syntax")
    assert problem.pointer == "/steps/0/with/body/a/0"


def tell(source: Any, **more: Any) -> dict[str, Any]:
    return {"use": "map", "with": {"body": source}, **more}


@pytest.mark.parametrize(
    ("steps", "code", "words"),
    [
        ([tell("$.bdy.x")], "unknown_name", "did you mean 'body'?"),
        ([tell("$.order.body"), {"id": "order", "use": "stop"}], "unknown_name", "did you mean 'steps.order'?"),
        ([tell("$.ledger")], "unknown_name", "did you mean 'vars.ledger'?"),
        ([tell("$.vars.leger")], "unknown_var", "did you mean 'ledger'?"),
        ([tell("$.steps.x.body")], "unknown_step", "no step comes before this one"),
        ([tell(1, id="first"), tell("$.steps.frist.body")], "unknown_step", "did you mean 'first'?"),
        ([tell("$.steps.last.body"), tell(1, id="last")], "step_later", "move it up"),
        ([tell("$.steps.me.body", id="me")], "step_later", "an earlier step"),
        ([tell("$.item.sku")], "out_of_scope", "into the foreach"),
        ([tell("$.index")], "out_of_scope", "into the foreach"),
        ([tell("$.error.code")], "out_of_scope", "steps.<id>.error"),
        ([{"foreach": "$.body", "as": "line", "steps": [tell("$.item")]}], "out_of_scope", "into the foreach"),
        ([{"foreach": "$.body", "steps": [tell(1, id="in")]}, tell("$.steps.in")], "step_out_of_scope", "block's id"),
        ([{"foreach": "$.item", "steps": [tell(1)]}], "out_of_scope", "into the foreach"),
        ([{"foreach": "$.body", "as": "vars", "steps": [tell(1)]}], "reserved_name", "another"),
        ([{"foreach": {"a": 1}, "steps": [tell(1)]}], "wrong_type", "$.body.lines"),
        ([tell(1, when="$.steps.x.body")], "unknown_step", "no step comes before"),
        ([tell(1, when="yes")], "expression.condition", "true or false"),
    ],
)
def test_an_expression_names_only_what_is_in_scope(
    check: Check, steps: list[dict[str, Any]], code: str, words: str
) -> None:
    assert words in one(check(*steps, vars={"ledger": 1}), code).remedy


def test_what_is_in_scope_is_no_problem(check: Check) -> None:
    assert not check(
        tell(["$", "$.body.a", "$.headers.x", "$.attachments[0]", "$.trigger.method", "$.execution.id"], id="a"),
        {
            "foreach": "$.steps.a.body",
            "steps": [
                tell(["$.item", "$.index", "$.steps.a"], id="b"),
                {"foreach": "$.item", "as": "inner", "steps": [tell(["$.inner", "$.item", "$.steps.b"])]},
            ],
        },
        {"id": "c", "use": "log", "with": {"message": "x"}},
        tell("$.steps.foreach.body"),
    )


def switch(*cases: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "choose", "switch": list(cases), **more}


def test_a_step_in_a_case_may_not_have_run_afterwards(check: Check) -> None:
    block = switch({"when": "$.body.a", "steps": [tell(1, id="inner")]})
    problem = one(check(block, tell("$.steps.inner.body")), "step_may_not_run")
    assert problem.severity == "warning"
    assert not check(block, tell({"jsonpath": "$.steps.inner.body", "default": None}))
    assert not check(block, tell("$.steps.choose.body"))


def test_of_two_cases_one_does_not_see_the_other_unless_both_can_run(check: Check) -> None:
    cases = (
        {"when": "$.body.a", "steps": [tell(1, id="inner")]},
        {"otherwise": True, "steps": [tell("$.steps.inner.body")]},
    )
    one(check(switch(*cases)), "step_out_of_scope")
    assert one(check(switch(*cases, match="all")), "step_may_not_run").severity == "warning"


@pytest.mark.parametrize(
    "cases",
    [
        [{"steps": []}],
        [{"when": "$.body.a", "otherwise": True, "steps": []}],
        [{"otherwise": True, "steps": []}, {"otherwise": True, "steps": []}],
    ],
)
def test_a_case_says_when_or_otherwise_and_otherwise_stands_once(check: Check, cases: list[dict[str, Any]]) -> None:
    one(check(switch(*cases)), "invalid_case")


def test_ids_are_unique_in_blocks_too(check: Check) -> None:
    block = switch({"otherwise": True, "steps": [tell(1, id="a")]})
    problem = one(check(tell(1, id="a"), block), "duplicate_id")
    assert problem.pointer == "/steps/1/switch/0/steps/0/id"
    assert "/steps/0" in problem.message


# --- Form ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "pointer", "code", "remedy"),
    [
        ({"id": "A-b", "use": "stop"}, "/steps/0/id", "invalid_value", "small letters, digits and underscores"),
        ({"use": "stop", "timeot": "3s"}, "/steps/0/timeot", "unknown_key", "did you mean 'timeout'?"),
        ({"use": "stop", "timeout": "0s"}, "/steps/0/timeout", "invalid_value", "some time"),
        ({"use": "stop", "timeout": 5}, "/steps/0/timeout", "invalid_value", "a number and a unit"),
        ({"use": "stop", "retry": {"wat": "1s"}}, "/steps/0/retry/wat", "unknown_key", "did you mean 'wait'?"),
        ({"use": "stop", "on_error": "contine"}, "/steps/0/on_error", "invalid_value", "did you mean 'continue'?"),
        ({"usee": "stop"}, "/steps/0/usee", "unknown_key", "did you mean 'use'?"),
        ({"foreachh": "$.body", "steps": [{"use": "stop"}]}, "/steps/0", "missing_key", "did you mean 'foreach'?"),
        ({}, "/steps/0", "missing_key", "add what it does"),
        (5, "/steps/0", "invalid_value", "write an object"),
        ({"switch": []}, "/steps/0/switch", "invalid_value", "at least 1"),
        ({"switch": [{"when": True, "step": []}]}, "/steps/0/switch/0/step", "unknown_key", "did you mean 'steps'?"),
        ({"switch": [{"when": True, "steps": []}], "mach": 1}, "/steps/0/mach", "unknown_key", "did you mean 'match'?"),
        ({"foreach": "$.body", "steps": [{"use": "stop"}], "concurency": 2}, "/steps/0/concurency", "unknown_key", "?"),
        ({"foreach": "$.body", "steps": [5]}, "/steps/0/steps/0", "invalid_value", "write an object"),
        ({"parallel": {"a": [{"swich": []}]}}, "/steps/0/parallel/a/0", "missing_key", "did you mean 'switch'?"),
        ({"try": [{}], "catch": []}, "/steps/0/try/0", "missing_key", "add what it does"),
        (
            {"parallel": {"retry": [{"use": "stop", "wiht": {}}]}},
            "/steps/0/parallel/retry/0/wiht",
            "unknown_key",
            "did you mean 'with'?",
        ),
        (
            {"parallel": {"foreach": [{"foreach": "$.body", "steps": [{"use": "stop"}], "as": "A"}]}},
            "/steps/0/parallel/foreach/0/as",
            "invalid_value",
            "a letter first",
        ),
        ({"use": "stop", "ActionStep": {"use": 1}}, "/steps/0/ActionStep", "unknown_key", "the keys here are"),
    ],
)
def test_a_wrong_form_is_one_problem_in_plain_words(
    check: Check, step: Any, pointer: str, code: str, remedy: str
) -> None:
    problem = one(check(step), code)
    assert problem.pointer == pointer
    assert remedy in problem.remedy


def test_a_mapper_that_is_not_installed_is_a_problem(check: Check) -> None:
    assert one(check(mappers=["jsonpth"]), "unknown_mapper").remedy == "did you mean 'jsonpath'?"


def test_a_bad_schema_of_the_body_is_a_problem(check: Check) -> None:
    assert check(schema={"type": "objekt"})[0].pointer.startswith("/schema")


def test_repeated_keys_are_problems(registry: Registry) -> None:
    text = b'{"id": "a", "id": "b", "trigger": {"use": "webhook", "with": {"verify": "open"}}, "steps": []}'
    assert [problem.code for problem in check_flow(text, registry)] == ["duplicate_key"]


# --- The trigger -----------------------------------------------------------------------------------------------


def hook(verify: Any, **settings: Any) -> dict[str, Any]:
    return {"use": "webhook", "with": {"verify": verify, **settings}}


def test_trap_8_leaving_verify_out_is_an_error(check: Check) -> None:
    problem = one(check(trigger={"use": "webhook"}), "missing_key")
    assert problem.severity == "error"
    assert '"none" has to be said' in problem.remedy


def test_trap_8_a_trigger_that_verifies_nothing_is_remarked_on(check: Check) -> None:
    assert one(check(trigger=hook("none")), "not_verified").severity == "warning"


@pytest.mark.parametrize(
    ("verify", "code", "pointer"),
    [
        ("signed", "missing_key", ""),
        ({"scheme": "signed"}, "missing_key", ""),
        ({"scheme": "signed", "credential": "hook", "headr": "x"}, "unknown_key", "/headr"),
        ({"scheme": "signed", "credential": "hook", "tolerance": -1}, "invalid_value", "/tolerance"),
        ({"scheme": "open", "credential": "hook"}, "credential_unwanted", "/credential"),
    ],
)
def test_what_verify_says_is_checked_against_the_scheme(check: Check, verify: Any, code: str, pointer: str) -> None:
    assert one(check(trigger=hook(verify)), code).pointer == f"/trigger/with/verify{pointer}"


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        ({}, ["json_not_read"]),
        ({"body": "auto", "media_types": ["application/json"]}, ["json_not_read", "media_type_refused"]),
        ({"body": "json", "media_types": ["application/json"]}, ["media_type_refused"]),
        ({"body": "json"}, []),
        ({"body": "json", "media_types": ["text/*"]}, []),
        ({"body": "raw"}, []),
    ],
)
def test_a_sender_that_calls_its_json_a_text_is_remarked_on(
    check: Check, settings: dict[str, Any], codes: list[str]
) -> None:
    problems = check(trigger=hook("mislabelled", **settings))
    assert [(problem.code, problem.severity) for problem in problems] == [(code, "warning") for code in codes]
    assert not check(trigger=hook("open"))


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("body.id", "constant_key"),
        ("$.steps.a.body", "out_of_scope"),
        ("$.execution.id", "out_of_scope"),
        ("$.body[", "expression.syntax"),
    ],
)
def test_a_dedupe_key_is_an_expression_over_the_message(check: Check, key: str, code: str) -> None:
    assert one(check(trigger=hook("open", dedupe_key=key)), code).pointer == "/trigger/with/dedupe_key"


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("$.headers['x-key']", "headers.x-key"),
        ("{{ trigger.headers['x-key'] }}", "trigger.headers.x-key"),
        ("{{ trigger.query.key }}", "trigger.query.key"),
        ("$.body.key", "body.key"),
        ("$.body.auth.token", "body.auth.token"),
        ("{{ trigger.body.auth.token[:8] }}", "trigger.body.auth.token"),
        ("$.body.value[0].state", "body.value.*.state"),
        ("$.body.value[*].state", "body.value.*.state"),
        ("{{ body.value | map(attribute='state') | join }}", "body.value.*.state"),
        ("$.body['a/b'].c", "body.a/b"),
        ("$.body.id", None),
        ("$.body.auth.user", None),
        ("$.body.value[*].id", None),
        ("$.body.value[0].id", None),
        ("$.headers['x-id']", None),
        ("$.trigger.scheme_id", None),
        ("{{ body.tokens }}", None),
    ],
)
@pytest.mark.parametrize("compound", [False, True])
def test_rule_33_no_key_is_made_of_what_is_masked(check: Check, key: str, secret: str | None, compound: bool) -> None:
    """Every message would be a duplicate of the first, or wait for the one before."""
    given: Any = ["$.body.other", key] if compound else key
    problems = [
        *check(trigger=hook("secretive", dedupe_key=given)),
        *check(trigger=hook("secretive"), order_by=given),
    ]
    place = "/1" if compound else ""
    expected = [("error", f"/trigger/with/dedupe_key{place}"), ("warning", f"/order_by{place}")]
    assert [(problem.severity, problem.pointer) for problem in problems] == (expected if secret else [])
    for problem in problems:
        assert problem.code == "masked_key"
        assert problem.message.startswith(f"{secret} is a secret of scheme 'secretive'")
        assert "such as $.body.id" in problem.remedy


def test_a_key_is_checked_against_the_secrets_that_the_schemes_settings_name(check: Check) -> None:
    verify = {"scheme": "secretive", "header": "x-other"}
    assert not check(trigger=hook(verify, dedupe_key="$.headers['x-key']"))
    one(check(trigger=hook(verify, dedupe_key="$.headers['x-other']")), "masked_key")


# --- Credentials -----------------------------------------------------------------------------------------------


def test_a_missing_credential_is_named_with_the_command_that_makes_it(check: Check) -> None:
    problems = check(order(), credentials={"acme-prd": "acme"})
    assert [(problem.code, problem.pointer) for problem in problems] == [
        ("credential_missing", "/trigger/with/verify/credential"),
        ("credential_missing", "/steps/0/credential"),
    ]
    assert "hookline credentials set hook --type signed" in problems[0].remedy
    assert "did you mean 'acme-prd'?" in problems[1].remedy


def test_a_credential_of_another_type_is_a_problem(check: Check) -> None:
    problem = one(check(order(), credentials={"hook": "signed", "acme-prod": "basic"}), "credential_type")
    assert "is of type basic, and acme or signed is wanted" in problem.message
    assert not check(order(), credentials={"hook": "signed", "acme-prod": "signed"})


def test_credentials_are_not_checked_where_they_are_not_known(check: Check) -> None:
    assert not check(order())


def test_an_action_that_needs_a_credential_says_so(check: Check) -> None:
    one(check({"use": "acme.create_order", "with": {"sku": "x"}}), "missing_key")
    assert not check({"use": "acme.ping"})
    one(check({"use": "stop", "credential": "acme-prod"}), "credential_unwanted")


# --- Jinja, and what ships -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (tell("{{ bdy.x }}"), "unknown_name"),
        (tell("{{ steps.later.body }}"), "unknown_step"),
        (tell("{{ vars.leger }}"), "unknown_var"),
        (tell("{% if body.a %}x"), "expression.syntax"),
        ({"use": "filter", "with": {"keep": "{{ body.a }} and {{ body.b }}"}}, "wrong_type"),
        ({"use": "lake.read", "with": {"url": "sqlite:///{{ body.file }}"}}, "not_from_vars"),
    ],
)
def test_jinja_is_checked_like_jsonpath(check: Check, step: dict[str, Any], code: str) -> None:
    one(check(step, vars={"ledger": 1}), code)


def test_a_default_says_that_a_step_may_not_have_run(check: Check) -> None:
    block = switch({"when": "$.body.a", "steps": [tell(1, id="inner")]})
    assert not check(block, tell("{{ steps.inner | default(none) }}"))


@pytest.mark.parametrize("path", scan(Path(__file__).parents[3] / "flows"), ids=lambda path: path.stem)
def test_shipped_flows_have_no_errors(path: Path) -> None:
    points = [point for point in entry_points(group=GROUP) if point.dist is not None and point.dist.name == "hookline"]
    problems = check_flow(path.read_bytes(), discover(points), file=path.name)
    assert [problem for problem in problems if problem.severity == "error"] == []
