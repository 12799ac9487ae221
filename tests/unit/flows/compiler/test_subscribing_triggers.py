"""Triggers that subscribe with their provider: how they are declared, and every problem in a flow found at once."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import jsonschema_rs
import pytest
from pydantic import BaseModel, Field, SecretStr

import hookline_generic
import hookline_mapping
import hookline_signatures
from hookline.api import Connector, NoSettings, Scheme, Subscription, SubscriptionContext, hookimpl
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.authoring.editor_schema import flow_schema
from hookline.flows.check.check_flow import check_flow
from hookline.flows.compiler.compile import compile_flow
from hookline.flows.compiler.subscription import subscription_credential
from hookline.kernel.errors import PluginError, Problem
from hookline.kernel.json import encode
from hookline.secrets.credential_reach import KnownCredential
from hookline.service.views.components import component_views
from hookline.testing.connector_harness import plugin_of

Key = type("Key", (BaseModel,), {"__annotations__": {"token": SecretStr}})


async def remove(ctx: SubscriptionContext[Any]) -> None:
    """Remove it."""


def connector(**options: Any) -> Connector:
    shop = Connector("shop", credential=Key, unavailable=options.pop("unavailable", None))

    @shop.webhook(**{"scheme": "github", **options})
    async def events(
        ctx: SubscriptionContext[Key],  # type: ignore[valid-type]  # made above
        topics: Annotated[list[str], Field(description="Of what.")],
        place: str = "here",
    ) -> Subscription:
        """Starts an execution for each event."""
        return Subscription(1)

    events.unsubscribe(remove)
    return shop


class OneSecret(Scheme[Any, NoSettings]):
    """Its credential holds no list."""

    name = "one-secret"
    title = "One secret"
    credential = Key

    def open(self, request: Any, credential: Any, settings: NoSettings) -> Any:
        raise NotImplementedError


class Schemes:
    @hookimpl
    def register_schemes(self) -> list[OneSecret]:
        return [OneSecret()]


def registry_of(shop: Connector) -> Registry:
    given = [hookline_generic, hookline_mapping, hookline_signatures, Schemes(), plugin_of(shop)]
    return load_plugins(extra_plugins=given, points=[])


@pytest.fixture
def registry() -> Registry:
    return registry_of(connector())


def document(given: dict[str, Any], credential: str | None = "key", **more: Any) -> bytes:
    trigger = {"use": "shop.events", "with": given} | ({} if credential is None else {"credential": credential})
    return encode(
        {"id": "f", "trigger": trigger, "steps": [{"id": "l", "use": "log", "with": {"message": "x"}}], **more}
    )


def problems(registry: Registry, given: dict[str, Any], credential: str | None = "key", **more: Any) -> list[Problem]:
    found = check_flow(document(given, credential, **more), registry).problems
    return [problem for problem in found if problem.severity == "error"]


def test_its_own_settings_stand_beside_those_of_a_webhook(registry: Registry) -> None:
    given = {"topics": ["a"], "respond": "finished", "dedupe_key": "$.body.id", "numbers": "exact"}
    flow = compile_flow(document(given), registry)
    trigger = flow.trigger
    assert trigger.webhook is not None
    assert trigger.subscribes is not None
    assert trigger.scheme is not None
    assert (trigger.webhook.respond, trigger.scheme.name, trigger.credential) == ("finished", "github", "key")
    assert (trigger.subscribes.given, trigger.dedupe_key is not None, flow.exact) == ({"topics": ["a"]}, True, True)
    assert flow.credentials == {"key"}


def test_they_may_read_vars_and_nothing_else(registry: Registry) -> None:
    flow = compile_flow(document({"topics": "$.vars.topics"}, vars={"topics": ["b"]}), registry)
    assert flow.trigger.subscribes is not None
    assert flow.trigger.subscribes.given == {"topics": ["b"]}
    found = problems(registry, {"topics": "$.body.topics"})
    assert [(problem.pointer, problem.code) for problem in found] == [("/trigger/with", "not_from_vars")]


def test_every_problem_is_named_with_its_place_and_remedy(registry: Registry) -> None:
    given = {"topic": ["a"], "place": [], "respond": "soon", "verify": "none", "dedupe_key": "$.nothing"}
    found = problems(registry, given, credential=None)
    assert sorted((problem.pointer, problem.code) for problem in found) == [
        ("/trigger", "missing_key"),
        ("/trigger/with/dedupe_key", "unknown_name"),
        ("/trigger/with/place", "invalid_value"),
        ("/trigger/with/respond", "invalid_value"),
        ("/trigger/with/topic", "unknown_key"),
        ("/trigger/with/verify", "unknown_key"),
    ]
    assert any("did you mean 'topics'?" in problem.remedy for problem in found)
    assert any("--type shop" in problem.remedy for problem in found)


def test_a_credential_of_another_type_is_named(registry: Registry) -> None:
    (found,) = check_flow(document({"topics": []}), registry, {"key": KnownCredential("github")}).problems
    assert (found.pointer, found.code) == ("/trigger/credential", "credential_type")


def test_a_server_without_a_public_url_is_warned(registry: Registry) -> None:
    (found,) = check_flow(document({"topics": []}), registry, public_url=False).problems
    assert (found.code, found.severity) == ("public_url_missing", "warning")
    assert "HOOKLINE_PUBLIC_URL" in found.remedy


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"scheme": "githup"}, "unknown_scheme", "did you mean 'github'?"),
        ({"scheme_settings": {"x": 1}}, "trigger_defect", "invalid settings for scheme 'github'"),
        ({"scheme": "gitlab"}, "trigger_defect", "which field of a credential of scheme 'gitlab' is the secret"),
        ({"scheme": "basic"}, "trigger_defect", "which field of a credential of scheme 'basic' is the secret"),
        ({"unavailable": "pip install shop"}, "unavailable", "pip install shop"),
    ],
)
def test_a_trigger_that_can_not_work_says_why_and_whose_it_is(options: Any, code: str, said: str) -> None:
    (found,) = problems(registry_of(connector(**options)), {"topics": []})
    assert (found.pointer, found.code) == ("/trigger/use", code)
    assert said in str(found)
    assert code != "trigger_defect" or "Plugin" in found.remedy


@pytest.mark.parametrize(
    ("options", "held"),
    [
        ({"scheme": "github"}, ["a-secret", "another-one"]),
        ({"scheme": "bearer"}, ["a-secret", "another-one"]),
        ({"scheme": "gitlab", "secret_field": "token"}, ["a-secret", "another-one"]),
        ({"scheme": "microsoft-graph"}, ["a-secret", "another-one"]),
        ({"scheme": "paypal"}, ["a-secret", "another-one"]),
        ({"scheme": "one-secret"}, ["a-secret"]),
    ],
)
def test_the_secret_is_where_the_scheme_has_it(options: Any, held: list[str]) -> None:
    registry = registry_of(connector(**options))
    trigger = compile_flow(document({"topics": []}), registry).trigger
    assert trigger.subscribes is not None
    assert trigger.scheme is not None
    credential = subscription_credential(trigger.subscribes.trigger, trigger.scheme, ["a-secret", "another-one"])
    plain = [secret for secret in ("a-secret", "another-one") if secret in str(_plain(credential))]
    assert plain == held


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return [_plain(getattr(value, name)) for name in type(value).model_fields]
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def test_editors_and_lists_of_components_know_it(registry: Registry) -> None:
    is_valid = jsonschema_rs.validator_for(json.loads(flow_schema(registry))).is_valid
    wrong = [
        ({"topics": ["a"]}, "key", True),
        ({"topics": "$.vars.x", "respond": "reply"}, "key", True),
        ({"topics": ["a"], "verify": "none"}, "key", False),
        ({"topics": ["a"], "respond": "$.vars.x"}, "key", False),
        ({"topics": ["a"]}, None, False),
        ({}, "key", False),
    ]
    for given, credential, valid in wrong:
        assert is_valid(json.loads(document(given, credential))) is valid, given
    (view,) = [view for view in component_views(registry) if view.name == "shop.events"]
    assert (view.kind, view.credential_types) == ("trigger", ["shop"])
    assert {"topics", "place", "respond", "dedupe_key"} <= {one.name for one in view.settings}
    assert not {"verify", "cors"} & {one.name for one in view.settings}


async def no_context(topics: list[str]) -> Subscription:
    return Subscription(topics)


async def taken(ctx: SubscriptionContext[Any], respond: str) -> Subscription:
    return Subscription([ctx, respond])


async def too_much(ctx: SubscriptionContext[Any], topics: list[str]) -> None:
    raise NotImplementedError([ctx, topics])


def not_async(ctx: SubscriptionContext[Any]) -> None:
    raise NotImplementedError(ctx)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda shop: shop.webhook(scheme="x")(no_context), "must be `ctx`"),
        (lambda shop: shop.webhook(scheme="x")(taken), "can't be named 'respond': webhooks have one already"),
        (lambda shop: shop.webhook(scheme="x", timeout="soon")(remove), "timeout='soon'"),
        (lambda shop: shop.webhook(scheme="x")(remove).unsubscribe(too_much), "has only the parameter `ctx`"),
        (lambda shop: shop.webhook(scheme="x")(remove).unsubscribe(not_async), "must be an async function"),
        (lambda shop: shop.webhook(scheme="x")(remove).renew(every="soon")(remove), "every='soon'"),
        (lambda shop: [shop.webhook(scheme="x")(remove) for _ in range(2)], "two triggers named 'shop.remove'"),
    ],
)
def test_a_function_that_can_not_be_one_is_rejected(declare: Callable[[Connector], Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        declare(Connector("shop"))


def test_each_part_is_named_once_and_none_is_left_out() -> None:
    shop = Connector("shop")
    events = shop.webhook(scheme="github", name="events")(remove)  # type: ignore[arg-type]
    (status,) = registry_of(shop).failed
    assert "trigger 'shop.events' has no function that unsubscribes" in (status.error or "")
    events.unsubscribe(remove)
    with pytest.raises(PluginError, match="two functions for unsubscribe"):
        events.unsubscribe(remove)
    assert registry_of(shop).failed == ()


def test_two_plugins_may_not_share_its_name() -> None:
    class Twice:
        @hookimpl
        def register_connectors(self) -> list[Connector]:
            return [connector(), connector()]

    registry = load_plugins(extra_plugins=[Twice()], points=[])
    assert "shop" in (registry.failed[0].error or "")
