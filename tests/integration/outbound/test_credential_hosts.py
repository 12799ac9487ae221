"""A credential goes only to hosts that the flow or the credential names, whatever a message says."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.integration.engine_harness import Harness

from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.flows.check.check_flow import check_flow
from hookline.model.access import SYSTEM
from hookline.model.execution import Execution, State
from hookline.model.reach import declared_settings
from hookline.testing.eventually import assert_eventually

REGISTRY = load_plugins()


def flow(url: Any, **settings: Any) -> dict[str, Any]:
    return {
        "id": "f",
        "trigger": {"use": "webhook", "with": {"verify": "none"}},
        "vars": {"base": "https://api.example", "host": "api.example"},
        "steps": [{"id": "ask", "use": "http.request", "with": {"url": url}, "credential": "erp", **settings}],
    }


FIXED = [
    "https://api.example/orders",
    "https://api.example/orders/{{ body.id }}",
    "https://api.example:8443/{{ body.id }}",
    "https://api.example?id={{ body.id }}",
    "$.vars.base",
    "{{ vars.base }}/orders/{{ body.id }}",
    "{{ vars.base ~ '/orders' }}",
    "https://{{ vars.host }}/orders/{{ body.id }}",
]
CHOSEN = [
    "$.body.url",
    "{{ body.url }}",
    "https://{{ body.host }}/orders",
    "https://api.example{{ body.path }}",
    "https://{{ vars.host }}{{ body.path }}",
    "https://api.example:{{ body.port }}/",
    "https://api.example@{{ body.host }}/",
    "https://user:{{ body.x }}@api.example/",
    "{{ vars.base }}{{ body.path }}",
    "{{ vars.host }}//{{ body.host }}/",
    "{{ body.scheme }}://api.example/",
    "https:\\\\{{ body.host }}/",
    "{% if body.x %}https://a.example/{% else %}{{ body.url }}{% endif %}",
    {"jsonpath": "$.body.url", "default": "https://api.example/"},
]


@pytest.mark.rule(47)
@pytest.mark.parametrize("url", FIXED)
def test_check_lets_a_credential_go_where_the_flow_says(url: Any) -> None:
    assert "credential_host" not in [one.code for one in check_flow(json.dumps(flow(url)).encode(), REGISTRY).problems]


@pytest.mark.rule(47)
@pytest.mark.parametrize("url", CHOSEN, ids=str)
def test_check_reports_a_credential_that_goes_where_a_message_says(url: Any) -> None:
    problems = check_flow(json.dumps(flow(url)).encode(), REGISTRY).problems
    (problem,) = [one for one in problems if one.code == "credential_host"]
    assert problem.pointer.startswith("/steps/0/with/url")
    assert "hosts" in problem.remedy
    document = flow(url)
    del document["steps"][0]["credential"]
    assert "credential_host" not in [one.code for one in check_flow(json.dumps(document).encode(), REGISTRY).problems]


ADDRESS = re.compile(r"(^|_)(url|host|endpoint|server)$")
#: Addresses to which an action sends nothing, and one that the connector itself lets be only a host of Slack.
NOT_CALLED = {
    "github.create_commit_status.target_url",
    "paypal.create_order.cancel_url",
    "paypal.create_order.return_url",
    "slack.respond.response_url",
    "stripe.confirm_payment_intent.return_url",
    "stripe.create_payment_intent.return_url",
}


@pytest.mark.rule(47)
def test_each_address_in_a_step_with_a_credential_is_of_the_flow_or_checked() -> None:
    unchecked = {
        f"{name}.{parameter}"
        for name, action in REGISTRY.actions.items()
        if action.credential_types
        for parameter in action.parameters.values()
        if ADDRESS.search(parameter) and parameter not in action.credential_goes_to | action.from_vars
    }
    assert unchecked == NOT_CALLED


class Sink:
    """A server that records the credentials that it gets."""

    def __init__(self) -> None:
        self.shown: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.shown.append(request.headers.get("authorization"))
        return web.json_response({})


async def run(harness: Harness, engine: Engine, body: Any) -> Execution:
    return await harness.until(engine, await harness.send(engine, "f", body))


@pytest.mark.rule(47)
@pytest.mark.parametrize(
    ("hosts", "goes"),
    [
        ([], False),
        (["http://127.0.0.1"], True),
        (["http://127.0.0.1:{port}"], True),
        (["api.example", "http://127.0.0.1"], True),
        (["127.0.0.1"], False),
        (["http://127.0.0.1:1"], False),
        (["http://*.0.0.1"], True),
        (["http://*.127.0.0.1"], False),
    ],
)
async def test_the_engine_sends_a_credential_to_a_host_of_a_message_only_if_the_credential_names_it(
    harness: Harness, hosts: list[str], goes: bool
) -> None:
    sink = Sink()
    application = web.Application()
    application.router.add_get("/", sink.answer)
    document = flow("{{ body.url }}")
    harness.flow("f", document["steps"], vars=document["vars"])
    async with (
        TestServer(application, host="127.0.0.1") as server,
        harness.engine(egress_allow=("127.0.0.1",)) as engine,
    ):
        named = [host.replace("{port}", str(server.port)) for host in hosts]
        await engine.credentials.put("erp", "bearer", {"token": "secret-token"}, hosts=named, by=SYSTEM)
        execution = await run(harness, engine, {"url": f"http://127.0.0.1:{server.port}/"})
    assert sink.shown == (["Bearer secret-token"] if goes else [])
    if not goes:
        assert execution.error is not None
        assert (execution.state, execution.error.code) == (State.FAILED, "http.credential_host")
        assert "'erp' is not sent to http://127.0.0.1:" in execution.error.message
        assert "`hosts`" in execution.error.message
        assert hosts or "'ask'" in execution.error.message


@pytest.mark.rule(47)
async def test_the_host_of_a_var_needs_no_permission(harness: Harness) -> None:
    sink = Sink()
    application = web.Application()
    application.router.add_get("/a", sink.answer)
    document = flow("{{ vars.base }}/{{ body }}")
    async with TestServer(application, host="127.0.0.1") as server:
        harness.flow("f", document["steps"], vars={"base": f"http://127.0.0.1:{server.port}"})
        async with harness.engine(egress_allow=("127.0.0.1",)) as engine:
            await engine.credentials.put("erp", "bearer", {"token": "secret-token"}, by=SYSTEM)
            assert (await run(harness, engine, "a")).state is State.SUCCEEDED
    assert sink.shown == ["Bearer secret-token"]


@pytest.mark.rule(47)
async def test_the_header_host_names_no_host_to_which_the_credential_may_not_be_sent(harness: Harness) -> None:
    sink = Sink()
    application = web.Application()
    application.router.add_get("/", sink.answer)
    async with TestServer(application, host="127.0.0.1") as server:
        here = f"http://127.0.0.1:{server.port}"
        for host in ("mine.example", f"127.0.0.1:{server.port}"):
            harness.flow(
                "f", [{**flow(f"{here}/")["steps"][0], "with": {"url": f"{here}/", "headers": {"hOst": host}}}]
            )
            async with harness.engine(egress_allow=("127.0.0.1",)) as engine:
                await engine.credentials.put("erp", "bearer", {"token": "secret-token"}, hosts=[here], by=SYSTEM)
                execution = await run(harness, engine, None)
            if host == "mine.example":
                assert execution.error is not None
                assert (execution.error.code, sink.shown) == ("http.credential_host", [])
        assert execution.state is State.SUCCEEDED


#: Values of each type of credential that may be sent to a server that a step names.
VALUES: dict[str, dict[str, str]] = {
    "bearer": {"token": "secret-token"},
    "basic": {"username": "ada", "password": "secret-token"},
    "api-key": {"key": "secret-token"},
    "oauth2": {"token_url": "{token_url}", "client_id": "ada", "client_secret": "secret-token"},
    "sql": {"password": "secret-token"},
}
#: The other settings of each component that names a server and takes a credential.
SETTINGS: dict[str, dict[str, Any]] = {
    "http.request": {},
    "cloudevents.send": {"type": "a", "source": "b"},
    "sql.delete": {"table": "t", "where": {"a": 1}},
    "sql.execute": {"sql": "select 1"},
    "sql.insert": {"table": "t", "row": {"a": 1}},
    "sql.query": {"sql": "select 1"},
    "sql.transaction": {"statements": ["select 1"]},
    "sql.update": {"table": "t", "values": {"a": 1}, "where": {"a": 1}},
    "sql.upsert": {"table": "t", "row": {"a": 1}, "key": ["a"]},
    "sql.rows": {"table": "t", "column": "a"},
}
SERVERS = {"http_url": "http://127.0.0.1:{port}/", "database_url": "postgresql://ada@127.0.0.1:{port}/db"}


def naming_servers() -> dict[str, tuple[str, str]]:
    """The components that take a credential and have a setting that names a server, with that setting and its URL."""
    return {
        name: (declared.path, SERVERS[declared.reach.kind])
        for name, component in {**REGISTRY.actions, **REGISTRY.triggers}.items()
        if getattr(component, "credential_types", ())
        for declared in declared_settings(component.settings)
        if declared.reach is not None and declared.reach.kind in SERVERS
    }


@pytest.mark.rule(47)
def test_each_component_that_names_a_server_for_its_credential_is_tried() -> None:
    assert naming_servers().keys() == SETTINGS.keys()
    assert {
        type_ for name in SETTINGS for type_ in getattr(component_of(name), "credential_types", ())
    } == VALUES.keys()


def component_of(name: str) -> Any:
    return REGISTRY.actions.get(name) or REGISTRY.triggers[name]


@pytest.mark.rule(47)
@pytest.mark.parametrize("named", [False, True], ids=["another host", "this host"])
@pytest.mark.parametrize(
    ("component", "type_"), [(name, type_) for name in SETTINGS for type_ in component_of(name).credential_types]
)
async def test_a_component_reaches_a_server_only_if_its_credential_names_it(
    harness: Harness, component: str, type_: str, named: bool
) -> None:
    received: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(65_536))
        writer.close()

    setting, url = naming_servers()[component]
    async with (
        await asyncio.start_server(listen, "127.0.0.1", 0) as server,
        token_endpoint() as token_url,
    ):
        port = server.sockets[0].getsockname()[1]
        given = {setting: url.format(port=port), **SETTINGS[component]}
        using = {"use": component, "with": given, "credential": "erp"}
        if component in REGISTRY.actions:
            harness.flow("f", [{"id": "ask", **using}])
        else:
            harness.flow("f", [], trigger=using)
        async with harness.engine(egress_allow=("127.0.0.1",)) as engine:
            values = {name: text.format(token_url=token_url) for name, text in VALUES[type_].items()}
            hosts = [f"http://127.0.0.1:{port}" if named else "http://127.0.0.1:1"]
            await engine.credentials.put("erp", type_, values, hosts=hosts, by=SYSTEM)
            if component in REGISTRY.actions:
                execution_id = await harness.send(engine, "f", {})
            if named:
                await assert_eventually(lambda: bool(received))
            elif component in REGISTRY.actions:
                execution = await harness.until(engine, execution_id)
                assert execution.error is not None
                assert execution.error.code.endswith(".credential_host")
            else:
                await assert_eventually(lambda: "engine.credential_host" in source_error(engine))
    assert bool(received) == named


def source_error(engine: Engine) -> str:
    status = engine.sources.status("f")
    return (status and status.error) or ""


@asynccontextmanager
async def token_endpoint() -> AsyncIterator[str]:
    """The URL of a server that gives access tokens."""

    async def give(_: web.Request) -> web.Response:
        return web.json_response({"access_token": "a-token", "token_type": "bearer", "expires_in": 3600})

    application = web.Application()
    application.router.add_post("/token", give)
    async with TestServer(application, host="127.0.0.1") as server:
        yield str(server.make_url("/token"))
