"""Flows that listen to brokers: their triggers' settings, every problem found at once; and what a trigger may be."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from hookline.api import BrokerMessage, Connector, ConsumeContext, hookimpl
from hookline.discovery.plugin_loader import load_plugins
from hookline.flows.authoring.editor_schema import flow_schema
from hookline.flows.check.check_flow import check_flow
from hookline.flows.compiler.compile import compile_flow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import FlowInvalid, PluginError, Problem
from hookline.kernel.json import encode
from hookline.model.sources import ConsumeSettings
from hookline.service.views.components import component_views


class BusKey(BaseModel):
    token: SecretStr


bus = Connector("bus", credential=BusKey)
gone = Connector("gone", unavailable="pip install 'hookline[gone]'")


@bus.consume(name="messages")
async def listen(
    ctx: ConsumeContext[BusKey], queue: Annotated[str, Field(description="The queue.")]
) -> AsyncIterator[BrokerMessage]:
    """Starts an execution for each message."""
    yield BrokerMessage(queue)


@gone.consume
async def news() -> AsyncIterator[BrokerMessage]:
    """Nothing that works here."""
    yield BrokerMessage(None)


class Plugin:
    @hookimpl
    def register_connectors(self) -> list[Connector]:
        return [bus, gone]


REGISTRY = load_plugins(extra_plugins=[Plugin()])


def flow(**settings: Any) -> dict[str, Any]:
    trigger = {"use": "bus.messages", "with": {"queue": "in", **settings}, "credential": "key"}
    return {"id": "f", "trigger": trigger, "steps": [{"use": "log", "with": {"message": "x"}}]}


def compiled(**settings: Any) -> CompiledFlow:
    return compile_flow(encode(flow(**settings)), REGISTRY)


def found(document: dict[str, Any]) -> list[tuple[str, str]]:
    problems: list[Problem] = check_flow(encode(document), REGISTRY).problems
    return sorted((problem.pointer, problem.code) for problem in problems if problem.severity == "error")


def test_it_has_the_settings_of_its_function_and_those_of_every_consumer() -> None:
    made = compiled(prefetch=7, dedupe_window="1h", numbers="exact").trigger
    assert made.consumer is bus.consumers["bus.messages"]
    assert isinstance(made.settings, ConsumeSettings)
    assert (made.settings.prefetch, made.settings.body) == (7, "auto")
    assert made.consumer.arguments(made.settings) == {"queue": "in"}
    assert made.credential == "key"
    assert compiled(numbers="exact").exact


def test_every_problem_is_named_with_its_place() -> None:
    wrong = flow(prefetch=0, queu="x", body="xml", dedupe_key="constant")
    del wrong["trigger"]["credential"]
    assert found(wrong) == [
        ("/trigger", "missing_key"),
        ("/trigger/with/body", "invalid_value"),
        ("/trigger/with/dedupe_key", "constant_key"),
        ("/trigger/with/prefetch", "invalid_value"),
        ("/trigger/with/queu", "unknown_key"),
    ]
    assert found(flow(dedupe_key="$.bdy.id")) == [("/trigger/with/dedupe_key", "unknown_name")]
    assert found(flow(queue="$.body.queue")) == [("/trigger/with", "not_from_vars")]


def test_settings_read_vars_and_its_key_reads_the_message() -> None:
    document = flow(queue="$.vars.where", dedupe_key=["$.body.id", "$.headers.kind"]) | {"vars": {"where": "there"}}
    made = compile_flow(encode(document), REGISTRY).trigger
    assert made.consumer is not None
    assert made.consumer.arguments(made.settings) == {"queue": "there"}
    assert made.dedupe_key is not None


def test_one_that_cannot_be_used_here_says_why() -> None:
    document = flow() | {"trigger": {"use": "gone.news"}}
    with pytest.raises(FlowInvalid) as caught:
        compile_flow(encode(document), REGISTRY)
    assert [(one.code, "pip install" in one.remedy) for one in caught.value.problems] == [("unavailable", True)]


def test_the_schema_of_flows_and_the_list_of_components_have_it() -> None:
    text = flow_schema(REGISTRY)
    assert '"bus.messages"' in text
    assert '"connect_timeout"' in text
    (view,) = [view for view in component_views(REGISTRY) if view.name == "bus.messages"]
    assert (view.kind, view.title, view.credential_types) == (
        "trigger",
        "Starts an execution for each message.",
        ["bus"],
    )
    assert {"queue", "prefetch", "dedupe_key", "max_body"} <= {each.name for each in view.settings}


async def no_generator(queue: str) -> BrokerMessage:
    return BrokerMessage(queue)


def sync(queue: str) -> BrokerMessage:
    return BrokerMessage(queue)


async def takes_prefetch(prefetch: int) -> AsyncIterator[BrokerMessage]:
    yield BrokerMessage(prefetch)


async def untyped(ctx: ConsumeContext[None], queue) -> AsyncIterator[BrokerMessage]:  # type: ignore[no-untyped-def]
    yield BrokerMessage([ctx, queue])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_generator, "must be an async generator to be a trigger that consumes"),
        (sync, "must be an async function to be a trigger that consumes"),
        (takes_prefetch, "a setting can't be named 'prefetch': every consumer has one already"),
        (untyped, "'queue' needs a type annotation"),
    ],
)
def test_a_function_that_cannot_be_one_is_named(function: Any, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        Connector("shop").consume(function)
    assert message in caught.value.message


def test_two_triggers_of_one_name_are_rejected() -> None:
    shop = Connector("shop")
    shop.consume(name="news")(news)
    with pytest.raises(PluginError, match="two triggers named"):
        shop.consume(news)
