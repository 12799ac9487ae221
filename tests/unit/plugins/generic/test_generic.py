"""The generic actions, called as the engine calls them: settings validated by their model, then run."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.plugins.action_calls import call

from hookline.api import FILTERED, PASS, STOPPED, RequestTrigger, StepError
from hookline_generic import register_connectors, register_triggers


class Lines:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def debug(self, event: str, **fields: Any) -> None:
        self.lines.append(("debug", event, fields))

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append(("error", event, fields))


async def use(name: str, settings: dict[str, Any], log: Lines | None = None) -> Any:
    connector, *_ = register_connectors()
    action = next(action for action in connector.actions.values() if action.name == name)
    return await call(action, settings, log=log or Lines())


def test_the_names_are_those_that_flows_use() -> None:
    connector, *_ = register_connectors()
    names = {action.name for action in connector.actions.values()}
    assert names >= {"map", "rename", "pick", "filter", "log", "stop", "fail", "reply", "sleep"}


def test_what_has_no_effect_is_pure() -> None:
    connector, *_ = register_connectors()
    pure = {action.name for action in connector.actions.values() if action.pure}
    assert pure == {"map", "rename", "pick", "filter", "stop", "fail"}


def test_each_action_has_a_summary_and_each_setting_a_description() -> None:
    for action in (action for connector in register_connectors() for action in connector.actions.values()):
        assert action.summary.endswith(".")
        for setting in action.json_schema().get("properties", {}).values():
            assert setting["description"]


@pytest.mark.parametrize("body", [None, 0, "text", [1, {"a": None}], {"id": 9007199254740993, "sum": 1.5}, False])
async def test_map_gives_the_body_as_it_is(body: Any) -> None:
    result = await use("map", {"body": body})
    assert result == body
    assert type(result) is type(body)


async def test_map_needs_a_body() -> None:
    with pytest.raises(ValidationError):
        await use("map", {})


async def test_filter_passes_or_ends_the_branch() -> None:
    assert await use("filter", {"keep": True}) is PASS
    assert await use("filter", {"keep": False}) is FILTERED


@pytest.mark.rule(15)
@pytest.mark.parametrize("keep", ["false", "true", "", 0, 1, None, [], {}])
async def test_what_is_not_a_boolean_is_an_error(keep: Any) -> None:
    with pytest.raises(ValidationError):
        await use("filter", {"keep": keep})


@pytest.mark.rule(20)
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
async def test_log_writes_its_fields_and_passes_the_message_on(level: str) -> None:
    log = Lines()
    assert await use("log", {"message": "booked", "level": level, "fields": {"id": 7}}, log) is PASS
    assert log.lines == [(level, "booked", {"id": 7})]


async def test_log_rejects_fields_that_would_hide_the_logs_own() -> None:
    with pytest.raises(ValidationError, match="execution_id"):
        await use("log", {"message": "x", "fields": {"execution_id": "forged"}})


async def test_stop_ends_the_execution() -> None:
    assert await use("stop", {}) is STOPPED


async def test_fail_raises_an_error_that_no_retry_repeats() -> None:
    with pytest.raises(StepError, match="no such customer") as caught:
        await use("fail", {"message": "no such customer", "code": "customer.unknown"})
    assert caught.value.error_code == "customer.unknown"
    assert caught.value.retryable is False


async def test_fail_rejects_a_code_that_no_one_could_match() -> None:
    with pytest.raises(ValidationError, match=r"order\.rejected"):
        await use("fail", {"message": "x", "code": "Not a code!"})


def test_the_webhook_is_a_trigger_of_requests() -> None:
    trigger, *others = register_triggers()
    assert isinstance(trigger, RequestTrigger)
    assert trigger.name == "webhook"
    assert [other.name for other in others] == ["schedule", "manual"]
    with pytest.raises(ValidationError, match="verify"):
        trigger.settings.model_validate({})
