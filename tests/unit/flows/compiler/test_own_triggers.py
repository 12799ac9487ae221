"""Flows that start themselves, or are started by hand: their triggers' settings, every problem found at once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from hookline.api import Connector, Context, PollContext, PollItem, PollResult
from hookline.discovery.registry import Registry
from hookline.flows.compiler.compile import compile_flow
from hookline.kernel.errors import PluginError, Problem
from hookline.kernel.json import encode
from hookline.model.sources import PollSettings

Check = Callable[..., list[Problem]]
Flow = Callable[..., dict[str, Any]]


def found(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in problems if problem.severity == "error"]


def schedule(**settings: Any) -> dict[str, Any]:
    return {"use": "schedule", "with": settings}


def test_every_problem_in_a_schedule_is_named_with_its_place_and_remedy(check: Check) -> None:
    problems = check(trigger=schedule(cron="0 25 * * *", time_zone="Europe/Belin", mised="once", overlap="perhaps"))
    assert sorted(found(problems)) == [
        ("/trigger/with/cron", "invalid_value"),
        ("/trigger/with/mised", "unknown_key"),
        ("/trigger/with/overlap", "invalid_value"),
        ("/trigger/with/time_zone", "invalid_value"),
    ]
    remedies = " | ".join(problem.remedy for problem in problems)
    assert "the hour is wrong: 0 to 23" in remedies
    assert "did you mean 'Europe/Berlin'?" in remedies
    assert "did you mean 'missed'?" in remedies


def test_a_schedule_may_be_read_from_vars(registry: Registry, flow: Flow) -> None:
    document = flow(trigger=schedule(cron="$.vars.when"), vars={"when": "0 7 * * *"})
    compiled = compile_flow(encode(document), registry)
    assert compiled.trigger.schedule is not None
    assert compiled.trigger.one_at_a_time


def test_it_can_be_read_from_nothing_else(check: Check) -> None:
    assert found(check(trigger=schedule(cron="$.body.when"))) == [("/trigger/with", "not_from_vars")]
    assert found(check(trigger=schedule(cron="$.vars.when"))) == [("/trigger/with", "expression.missing")]


def test_what_a_schedule_keeps_apart_needs_no_order(check: Check) -> None:
    trigger = schedule(every="5m")
    assert found(check(trigger=trigger, order_by="$.body.id")) == [("/order_by", "order_of_schedule")]
    assert found(check(trigger=schedule(every="5m", overlap=True), order_by="$.body.scheduled_at")) == []


def test_a_trigger_that_takes_no_credential_says_where_it_belongs(check: Check) -> None:
    assert found(check(trigger={**schedule(every="5m"), "credential": "x"})) == [
        ("/trigger/credential", "credential_unwanted")
    ]
    webhook = {"use": "webhook", "with": {"verify": "none"}, "credential": "x"}
    (problem,) = [problem for problem in check(trigger=webhook) if problem.severity == "error"]
    assert (problem.pointer, problem.code) == ("/trigger/credential", "credential_unwanted")
    assert '"verify"' in problem.remedy


def test_manual_takes_no_settings(check: Check) -> None:
    assert found(check(trigger={"use": "manual"})) == []
    assert found(check(trigger={"use": "manual", "with": {"cron": "x"}})) == [("/trigger/with/cron", "unknown_key")]


def test_a_poll_has_the_settings_of_its_function_and_those_of_every_poll(check: Check) -> None:
    trigger = {"use": "acme.new_orders", "with": {"status": "open", "every": "10s"}, "credential": "acme-prod"}
    assert found(check(trigger=trigger, credentials={"acme-prod": "acme"})) == []
    assert found(check(trigger=trigger, credentials={"acme-prod": "basic"})) == [
        ("/trigger/credential", "credential_type")
    ]
    assert found(check(trigger=trigger, credentials={})) == [("/trigger/credential", "credential_missing")]
    wrong = {"use": "acme.new_orders", "with": {"statsu": "open", "every": "10ms", "timeout": 5}}
    assert sorted(found(check(trigger=wrong))) == [
        ("/trigger", "missing_key"),
        ("/trigger/with/every", "invalid_value"),
        ("/trigger/with/statsu", "unknown_key"),
        ("/trigger/with/timeout", "invalid_value"),
    ]


def test_a_trigger_that_cannot_be_used_here_says_why(check: Check) -> None:
    (problem,) = check(trigger={"use": "gone.news"})
    assert (problem.pointer, problem.code) == ("/trigger/use", "unavailable")
    assert "pip install" in problem.remedy


def polling() -> Connector:
    return Connector("shop")


async def good(ctx: PollContext[None], cursor: Any, folder: str = "in") -> PollResult:
    """Look.

    And more.
    """
    return PollResult([PollItem(folder, ctx.now)], cursor)


def test_a_function_becomes_a_trigger() -> None:
    shop = polling()
    assert shop.poll(every="90s", timeout="10s", name="news")(good) is good
    trigger = shop.polls["shop.news"]
    settings = trigger.settings.model_validate({"folder": "out"})
    assert isinstance(settings, PollSettings)
    assert (settings.every, settings.timeout) == (timedelta(seconds=90), timedelta(seconds=10))
    assert trigger.arguments(settings) == {"folder": "out"}
    assert (trigger.title, trigger.description) == ("Look.", "Look.\n\nAnd more.")


async def takes_every(cursor: Any, every: str) -> PollResult:
    return PollResult((), [cursor, every])


def sync(cursor: Any) -> PollResult:
    return PollResult((), cursor)


async def many(cursor: Any, *folders: str) -> PollResult:
    return PollResult((), [cursor, folders])


async def action_like(ctx: Context[None], cursor: Any, folder) -> PollResult:  # type: ignore[no-untyped-def]
    return PollResult((), [ctx, cursor, folder])


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (takes_every, {"every": "1m"}, "a setting can't be named 'every'"),
        (sync, {"every": "1m"}, "must be an async function to be a trigger that polls"),
        (many, {"every": "1m"}, "can't be a setting; name each one"),
        (action_like, {"every": "1m"}, "'folder' needs a type annotation"),
        (good, {"every": "1 minute"}, "every='1 minute': a duration is a number and a unit"),
        (good, {"every": "1m", "timeout": "x"}, "timeout='x'"),
    ],
)
def test_a_function_that_cannot_be_one_is_named(function: Any, options: dict[str, str], message: str) -> None:
    with pytest.raises(PluginError) as caught:
        polling().poll(**options)(function)  # type: ignore[arg-type]
    assert message in caught.value.message


def test_two_triggers_of_one_name_are_rejected() -> None:
    shop = polling()
    shop.poll(every="1m")(good)
    with pytest.raises(PluginError, match=r"two triggers named 'shop\.good'"):
        shop.poll(every="1m")(good)
