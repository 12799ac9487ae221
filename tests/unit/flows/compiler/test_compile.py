"""A flow's document becomes a flow ready to run, under a version that is a hash of what it does."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.discovery.registry import Registry
from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.blocks.switch import CompiledSwitch
from hookline.flows.compiler.compile import compile_document, compile_flow, override_vars
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.flows.documents.version import version_of
from hookline.kernel.backoff import RetryPolicy
from hookline.kernel.errors import FlowInvalid
from hookline.kernel.json import decode, encode

Flow = Callable[..., dict[str, Any]]


@pytest.fixture
def compiled(registry: Registry, flow: Flow) -> Callable[..., CompiledFlow]:
    def of(*steps: Any, environment: dict[str, str] | None = None, **more: Any) -> CompiledFlow:
        return compile_flow(encode(flow(*steps, **more)), registry, environment=environment or {})

    return of


Compiled = Callable[..., CompiledFlow]


def test_names_are_resolved_and_expressions_compiled(compiled: Compiled, registry: Registry) -> None:
    made = compiled(
        {
            "id": "book",
            "use": "acme.create_order",
            "with": {"sku": "$.body.sku", "quantity": 2},
            "credential": "acme-prod",
            "when": "$.body.paid",
            "retry": {"attempts": 5, "wait": "2s", "factor": 3, "cap": "1m"},
            "timeout": "30s",
            "on_error": "continue",
        }
    )
    (step,) = made.steps
    assert isinstance(step, CompiledAction)
    assert (step.id, step.pointer, step.credential, step.on_error) == ("book", "/steps/0", "acme-prod", "continue")
    assert step.action is registry.actions["acme.create_order"]
    assert step.settings.evaluate({"body": {"sku": "x"}}) == {"sku": "x", "quantity": 2}
    assert step.when is not None
    assert step.when.evaluate({"body": {"paid": True}}) is True
    assert step.retry == RetryPolicy(5, timedelta(seconds=2), 3.0, timedelta(minutes=1))
    assert step.timeout == timedelta(seconds=30)
    assert made.trigger.scheme is registry.schemes["signed"]
    assert made.trigger.scheme_settings == registry.schemes["signed"].settings()
    assert made.trigger.credential == "hook"
    assert made.credentials == {"hook", "acme-prod"}


@pytest.mark.rule(21)
def test_a_step_that_says_nothing_of_retries_is_tried_three_times(compiled: Compiled) -> None:
    (step,) = compiled({"use": "stop"}).steps
    assert isinstance(step, CompiledAction)
    assert step.retry.attempts == 3
    assert step.when is None


def test_blocks_are_compiled_with_their_steps(compiled: Compiled) -> None:
    switch, foreach = compiled(
        {
            "switch": [
                {"when": "$.body.a", "steps": [{"use": "stop"}]},
                {"otherwise": True, "steps": [{"use": "stop"}, {"use": "stop"}]},
            ],
            "match": "all",
        },
        {"foreach": "$.body", "as": "line", "concurrency": 4, "on_error": "continue", "steps": [{"use": "stop"}]},
    ).steps
    assert isinstance(switch, CompiledSwitch)
    assert switch.match == "all"
    assert [case.when is None for case in switch.cases] == [False, True]
    assert [[step.id for step in case.steps] for case in switch.cases] == [["stop"], ["stop_2", "stop_3"]]
    assert switch.cases[1].steps[1].pointer == "/steps/0/switch/1/steps/1"
    assert isinstance(foreach, CompiledForeach)
    assert (foreach.as_name, foreach.concurrency, foreach.on_error) == ("line", 4, "continue")
    assert foreach.items.evaluate({"body": [1]}) == [1]
    assert [step.id for step in foreach.steps] == ["stop_4"]


def test_derived_ids_give_way_to_given_ones(compiled: Compiled) -> None:
    steps = compiled(
        {"use": "stop"},
        {"id": "stop", "use": "stop"},
        {"use": "acme.ping"},
        {"use": "stop"},
        {"id": "stop_3", "use": "stop"},
    ).steps
    assert [step.id for step in steps] == ["stop_2", "stop", "acme_ping", "stop_4", "stop_3"]


def test_nothing_is_verified_only_where_that_is_said(compiled: Compiled) -> None:
    trigger = compiled(trigger={"use": "webhook", "with": {"verify": "none"}}).trigger
    assert (trigger.scheme, trigger.scheme_settings, trigger.credential) == (None, None, None)


@pytest.mark.rule(9)
def test_a_dedupe_key_is_compiled(compiled: Compiled) -> None:
    trigger = compiled(trigger={"use": "webhook", "with": {"verify": "open", "dedupe_key": "$.body.id"}}).trigger
    assert trigger.dedupe_key is not None
    assert trigger.dedupe_key.text({"body": {"id": "a"}}) == "s:a"
    assert trigger.webhook is not None
    assert trigger.webhook.dedupe_window == timedelta(days=7)


def test_a_schema_is_compiled(compiled: Compiled) -> None:
    schema = compiled(schema={"type": "object", "required": ["id"]}).schema
    assert schema is not None
    assert not schema.problems({"id": 1})
    assert schema.problems({})


def test_every_error_is_raised_together_with_its_place(registry: Registry, flow: Flow) -> None:
    document = flow({"use": "nothing.here"}, {"use": "map"})
    with pytest.raises(FlowInvalid) as caught:
        compile_flow(encode(document), registry, file="f.json")
    assert [problem.pointer for problem in caught.value.problems] == ["/steps/0/use", "/steps/1"]
    assert {problem.file for problem in caught.value.problems} == {"f.json"}


def test_a_warning_keeps_no_flow_from_running(registry: Registry, flow: Flow) -> None:
    document = flow(trigger={"use": "webhook", "with": {"verify": "none"}})
    examined = compile_document(read(encode(document)), registry)
    assert examined.flow is not None
    assert [problem.code for problem in examined.problems] == ["not_verified"]
    assert not examined.errors


# --- Versions --------------------------------------------------------------------------------------------------


@pytest.mark.rule(11)
def test_layout_title_and_schema_are_not_part_of_the_version(registry: Registry, flow: Flow) -> None:
    first = compile_flow(encode(flow({"use": "stop"})), registry)
    document = {"title": "x", "$schema": "./flow.schema.json", **dict(reversed(flow({"use": "stop"}).items()))}
    second = compile_flow(b"\n  " + encode(document) + b"\n", registry)
    assert first.version == second.version
    assert len(first.version) == 16


@pytest.mark.rule(11)
@pytest.mark.parametrize(
    "change", [{"vars": {"a": 2}}, {"concurrency": 2}, {"state": "paused"}, {"id": "other"}, {"steps": []}]
)
def test_everything_else_is_part_of_the_version(registry: Registry, flow: Flow, change: dict[str, Any]) -> None:
    document = flow({"use": "stop"}, vars={"a": 1})
    before, after = (compile_flow(encode(each), registry) for each in (document, {**document, **change}))
    assert before.version != after.version


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.dictionaries(st.text(), st.integers())))
def test_a_version_does_not_depend_on_the_order_of_keys(document: dict[str, Any]) -> None:
    assert version_of(document) == version_of(dict(reversed(document.items())))


def test_the_published_document_compiles_to_the_same_version(compiled: Compiled, registry: Registry) -> None:
    first = compiled({"use": "map", "with": {"body": {"b": 1, "a": "ü"}}}, title="Orders")
    again = compile_flow(first.source, registry)
    assert (again.version, again.settings, again.source) == (first.version, first.settings, first.source)
    assert decode(first.source)["title"] == "Orders"


# --- Vars ------------------------------------------------------------------------------------------------------


@pytest.mark.rule(13)
def test_the_environment_overrides_vars_and_changes_no_version(compiled: Compiled) -> None:
    declared = {"ledger": "sqlite:///a.db", "limit": 5, "on": True}
    plain = compiled(vars=declared)
    environment = {
        "HOOKLINE_VARS_ORDERS__LEDGER": "7",
        "HOOKLINE_VARS_ORDERS__LIMIT": "7",
        "HOOKLINE_VARS_OTHER__ON": "false",
    }
    made = compiled(vars=declared, environment=environment)
    assert plain.vars == declared
    assert made.vars == {"ledger": "7", "limit": 7, "on": True}
    assert made.version == plain.version
    assert made.declared_vars == declared


@pytest.mark.rule(13)
def test_dashes_of_names_are_underscores_in_variables() -> None:
    environment = {"HOOKLINE_VARS_PAYPAL_TO_ACCOUNTING__MAX_SIZE": "9"}
    assert override_vars("paypal-to-accounting", {"max-size": 1}, environment) == ({"max-size": 9}, [])


def test_an_override_that_fits_no_var_is_warned_on() -> None:
    vars_, (problem,) = override_vars("a", {"ledger": "x"}, {"HOOKLINE_VARS_A__LEGER": "y"})
    assert vars_ == {"ledger": "x"}
    assert problem.severity == "warning"
    assert "did you mean 'HOOKLINE_VARS_A__LEDGER'?" in problem.remedy


def test_an_override_that_is_not_json_is_an_error_where_the_var_is_no_text() -> None:
    _, (problem,) = override_vars("a", {"limit": 5}, {"HOOKLINE_VARS_A__LIMIT": "many"})
    assert (problem.severity, problem.pointer) == ("error", "/vars/limit")
