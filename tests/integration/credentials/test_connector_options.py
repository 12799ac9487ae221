"""Choices for a setting that a service knows: asked for through the admin API and by the command line."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import structlog
from aiohttp import web
from click.testing import CliRunner
from pydantic import BaseModel, SecretStr
from tests.integration.http_servers import Serve

from hookline.api import (
    Connector,
    Context,
    Option,
    Options,
    OptionsContext,
    PollContext,
    PollResult,
    StepError,
    cursor_items,
    hookimpl,
)
from hookline.credentials import connector_options as options_module
from hookline.credentials.connector_options import OptionsPage, OptionsRequest, fetch_options
from hookline.credentials.stored_credentials import FoundCredential
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.kernel.errors import CredentialError, HooklineError, NoOptions, OptionsNotReady, PluginError
from hookline.model.access import SYSTEM
from hookline.outbound.client import PooledClient
from hookline.plugin_host.plugin_calls import PluginCalls
from hookline.plugin_host.resources import EngineResources
from hookline.secrets.credential_reach import HostRule
from hookline.service.admin import blueprints
from hookline.service.app import create_pages
from hookline.service.views.components import component_views
from hookline.telemetry.metrics import Metrics

SECRET = "hunter2-hunter2"


class Key(BaseModel):
    """Acme's key."""

    url: str
    token: SecretStr


def acme() -> Connector:
    connector = Connector("acme", credential=Key)

    @connector.options
    async def channels(ctx: OptionsContext[Key], team: int, search: str = "") -> AsyncIterator[Option]:
        headers = {"Authorization": f"Bearer {ctx.credential.token.get_secret_value()}"}
        async for one in cursor_items(
            ctx.http,
            f"{ctx.credential.url}/channels",
            items="channels",
            cursor="next",
            params={"team": team, "search": search},
            headers=headers,
        ):
            yield Option(one["id"], one["name"])

    async def colours() -> list[Option]:
        return [Option("red"), Option(7, "seven"), Option({"rgb": [0, 0, 1]}, "blue")]

    async def broken(ctx: OptionsContext[Key | None], kind: str = "defect") -> Any:
        if kind == "hang":
            await asyncio.Event().wait()
        if kind == "cancel":
            raise asyncio.CancelledError
        if kind == "text":
            return ["red"]
        raise KeyError(SECRET)

    @connector.action
    async def post(
        ctx: Context[Key],
        team: int,
        channel: Annotated[str, Options("channels")],
        colour: Annotated[str, Options(colours)] = "red",
    ) -> None:
        """Post."""

    @connector.action
    async def odd(ctx: Context[Key | None], kind: str, what: Annotated[str, Options(broken)]) -> None:
        """Do it."""

    @connector.poll(every="1m")
    async def new_messages(
        ctx: PollContext[Key], team: int, in_: Annotated[str, Options("channels")], every_word: bool = False
    ) -> PollResult:
        """Look."""
        return PollResult()

    return connector


def registry_of(connector: Connector) -> Registry:
    class Plugin:
        @hookimpl
        def register_connectors(self) -> list[Connector]:
            return [connector]

    return load_plugins(extra_plugins=[Plugin()])


class OneCredential:
    """The credentials of a server that has one."""

    def __init__(self, url: str, type: str = "acme") -> None:
        self._found = FoundCredential(type, Key(url=url, token=SecretStr(SECRET)), HostRule("prod"))

    def get(self, name: str, flow_id: str | None) -> FoundCredential:
        if name != "prod":
            raise CredentialError(f"there is no credential {name!r}")
        return self._found


async def ask(client: PooledClient, url: str, component: str, setting: str, **asked: Any) -> OptionsPage:
    return await fetch_options(
        OptionsRequest(component, setting, **asked),
        OneCredential(url),
        PluginCalls(registry_of(acme()), Metrics(), structlog.get_logger()),
        http=client,
        resources=EngineResources(),
        log=structlog.get_logger(),
    )


def chat(pages: int) -> Any:
    """A service with so many pages of a hundred channels."""

    async def channels(request: web.Request) -> web.Response:
        if request.headers["Authorization"] != f"Bearer {SECRET}":
            return web.json_response({"error": request.headers["Authorization"]}, status=401)
        page, team = int(request.query.get("cursor", "0")), request.query["team"]
        names = [f"{team}-{page * 100 + number}" for number in range(100)]
        found = [{"id": f"C{name}", "name": f"#{name}"} for name in names if request.query["search"] in name]
        return web.json_response({"channels": found, "next": page + 1 if page + 1 < pages else None})

    return channels


async def test_a_service_lists_what_there_is_to_choose_from(client: PooledClient, serve: Serve) -> None:
    url = str((await serve({"/channels": chat(2)})).make_url("/"))[:-1]
    found = await ask(client, url, "acme.post", "channel", credential="prod", chosen={"team": "3", "other": 1})
    assert (len(found.options), found.more) == (200, False)
    assert found.options[0] == Option("C3-0", "#3-0")
    found = await ask(client, url, "acme.post", "channel", credential="prod", chosen={"team": 3}, search="-17")
    assert [one.value for one in found.options] == ["C3-17", *(f"C3-{number}" for number in range(170, 180))]


async def test_no_more_than_a_thousand_are_given_and_no_more_pages_asked_for(
    client: PooledClient, serve: Serve
) -> None:
    url = str((await serve({"/channels": chat(10_000)})).make_url("/"))[:-1]
    found = await ask(client, url, "acme.post", "channel", credential="prod", chosen={"team": 1})
    assert (len(found.options), found.more) == (1000, True)


async def test_a_trigger_offers_options_too(client: PooledClient, serve: Serve) -> None:
    url = str((await serve({"/channels": chat(1)})).make_url("/"))[:-1]
    found = await ask(client, url, "acme.new_messages", "in", credential="prod", chosen={"team": 1})
    assert len(found.options) == 100


async def test_a_value_is_any_json_and_labelled_by_itself(client: PooledClient) -> None:
    found = await ask(client, "", "acme.post", "colour")
    assert [(one.value, one.label) for one in found.options] == [
        ("red", "red"),
        (7, "seven"),
        ({"rgb": [0, 0, 1]}, "blue"),
    ]


@pytest.mark.parametrize(
    ("asked", "kind", "text"),
    [
        (("acme.posst", "channel", {}), NoOptions, "did you mean 'acme.post'"),
        (("acme.post", "chanel", {}), NoOptions, "did you mean 'channel'"),
        (("acme.post", "team", {}), NoOptions, "offers no options for 'team'"),
        (("http.request", "url", {}), NoOptions, "it offers none for any setting"),
        (("webhook", "verify", {}), NoOptions, "it offers none for any setting"),
        (("acme.post", "channel", {"credential": "prod"}), OptionsNotReady, "team: it must be chosen first"),
        (
            ("acme.post", "channel", {"credential": "prod", "chosen": {"team": "$.body.team"}}),
            OptionsNotReady,
            "team: it is an expression",
        ),
        (
            ("acme.post", "channel", {"credential": "prod", "chosen": {"team": "blue"}}),
            OptionsNotReady,
            "team: it must be a whole number",
        ),
        (("acme.post", "channel", {"chosen": {"team": 1}}), CredentialError, "needs a credential of type acme"),
        (("acme.post", "channel", {"chosen": {"team": 1}, "credential": "x"}), CredentialError, "no credential 'x'"),
    ],
)
async def test_what_can_not_be_asked_says_why(
    client: PooledClient, asked: tuple[str, str, dict[str, Any]], kind: type[HooklineError], text: str
) -> None:
    component, setting, more = asked
    with pytest.raises(kind) as caught:
        await ask(client, "", component, setting, **more)
    assert text in caught.value.message


async def test_an_error_of_the_service_is_said_without_the_secret(client: PooledClient, serve: Serve) -> None:
    async def reject(request: web.Request) -> web.Response:
        return web.json_response({"error": f"bad token {request.headers['Authorization']}"}, status=401)

    url = str((await serve({"/channels": reject})).make_url("/"))[:-1]
    with pytest.raises(StepError) as caught:
        await ask(client, url, "acme.post", "channel", credential="prod", chosen={"team": 1})
    assert caught.value.error_code == "http.401"
    assert "bad token" in caught.value.message
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("defect", "connector.defect"),
        ("cancel", "connector.defect"),
        ("text", "connector.defect"),
        ("hang", "timed_out"),
    ],
)
async def test_whatever_a_connector_does_the_answer_comes(
    client: PooledClient, monkeypatch: pytest.MonkeyPatch, kind: str, code: str
) -> None:
    monkeypatch.setattr(options_module, "_LONGEST", 0.05)
    with pytest.raises(StepError) as caught:
        await ask(client, "", "acme.odd", "what", credential="prod", chosen={"kind": kind})
    assert caught.value.error_code == code
    assert SECRET not in caught.value.message


def test_components_say_where_there_are_options() -> None:
    views = {view.name: view for view in component_views(registry_of(acme())) if view.name.startswith("acme.")}
    found = {one.name: one.options for one in views["acme.post"].settings}
    assert found["team"] is None
    assert found["channel"] is not None
    assert (found["channel"].search, found["channel"].depends_on) == (True, ["team"])
    assert {one.name for one in views["acme.new_messages"].settings if one.options} == {"in"}


def test_a_function_that_is_not_there_fails_the_plugin() -> None:
    connector = Connector("acme")

    @connector.action
    async def post(channel: Annotated[str, Options("channels")]) -> None:
        """Post."""

    (failed,) = [plugin for plugin in registry_of(connector).failed if plugin.distribution is None]
    assert "acme.post refers to 'channels' for the options of 'channel', but there is no such function" in str(
        failed.error
    )

    @connector.options
    async def channels() -> list[Option]:
        return []

    assert "acme.post" in registry_of(connector).actions


def test_options_that_depend_on_what_the_action_has_not_are_rejected() -> None:
    connector = Connector("acme")

    async def channels(team: str) -> list[Option]:
        return []

    with pytest.raises(PluginError, match="needs 'team', which is not one of its settings; it has text"):

        @connector.action
        async def post(text: str, channel: Annotated[str, Options(channels)]) -> None:
            """Post."""


async def test_the_admin_api_asks(tmp_path: Path, serve: Serve) -> None:
    url = str((await serve({"/channels": chat(1)})).make_url("/"))[:-1]
    options = EngineOptions(
        db=f"sqlite:///{tmp_path}/hookline.db",
        blobs=f"file://{tmp_path}/blobs",
        flows=tmp_path / "flows",
        secret_keys=(b"k" * 32,),
        watch=False,
        egress_allow=("127.0.0.0/8",),
    )
    async with Engine(registry_of(acme()), options) as engine:
        await engine.credentials.put("prod", "acme", {"url": url, "token": SECRET}, by=SYSTEM)
        await engine.credentials.put("other", "acme", {"url": url, "token": "wrong-" + SECRET}, by=SYSTEM)
        client = create_pages(blueprints(engine, "token")).test_client()

        async def ask(path: str, **body: Any) -> tuple[int, Any]:
            headers = {"Authorization": "Bearer token"}
            response = await client.post(f"/api/v1/components/{path}", json=body, headers=headers)
            return response.status_code, await response.get_json()

        prod = {"credential": "prod", "with": {"team": 1, "text": "$.body.text"}}
        assert await ask("acme.post/options/channel", **prod, search="-42") == (
            200,
            {"items": [{"value": "C1-42", "label": "#1-42"}], "more": False},
        )
        status, problem = await ask("acme.post/options/channel", **{**prod, "credential": "other"})
        assert (status, problem["code"]) == (502, "http.401")
        assert SECRET not in problem["detail"]
        status, problem = await ask("acme.post/options/channel", credential="prod")
        assert (status, problem["code"]) == (422, "options.impossible")
        assert problem["problems"][0]["pointer"] == "/with/team"
        assert (await ask("acme.post/options/team"))[0] == 404
        assert (await ask("acme.post/options/channel", credential="nobody"))[0] == 422
        assert (await ask("acme.post/options/channel", wiht={}))[0] == 400
        document = await (
            await client.get("/api/v1/openapi.json", headers={"Authorization": "Bearer token"})
        ).get_json()
        assert "/api/v1/components/{component}/options/{setting}" in document["paths"]


PLUGIN = '''
from typing import Annotated

from hookline.api import Connector, Option, Options, hookimpl

paint = Connector("paint")


@paint.options
async def colours(kind: str = "", search: str = "") -> list[Option]:
    return [Option(one, one.title()) for one in ("red", "green", "blue") if search in one and kind != "none"]


@paint.action(idempotent=True)
async def wall(colour: Annotated[str, Options("colours")], kind: str = "") -> None:
    """Paint a wall."""


@hookimpl
def register_connectors() -> list[Connector]:
    return [paint]
'''


@pytest.fixture
def painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, with the plugin installed."""
    info = tmp_path / "site" / "hookline_paint-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "hookline_paint.py").write_text(PLUGIN, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hookline-paint\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[hookline]\npaint = hookline_paint\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hookline(*arguments: str) -> Any:
    from hookline.cli.main import main

    return CliRunner().invoke(main, arguments)


def test_the_command_line_asks(painted: Path) -> None:
    done = hookline("components", "options", "paint.wall", "colour", "--search", "re", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "items": [{"value": "red", "label": "Red"}, {"value": "green", "label": "Green"}],
        "more": False,
    }
    done = hookline("components", "options", "paint.wall", "colour")
    assert done.stdout.splitlines()[1:] == ["red    Red", "green  Green", "blue   Blue"]
    done = hookline("components", "options", "paint.wall", "colour", "--with", "kind=none")
    assert done.stdout == "there are no options\n"
    done = hookline("components", "options", "paint.wall", "kind")
    assert (done.exit_code, done.stderr.count("offers no options for 'kind'")) == (1, 1)
    assert hookline("components", "options", "paint.wall", "colour", "--with", "kind").exit_code == 2
    assert "hookline components options paint.wall colour" in hookline("components", "paint.wall").stdout
    shown = json.loads(hookline("components", "paint.wall", "--json").stdout)
    assert shown[0]["settings"][0]["options"] == {"search": True, "depends_on": ["kind"]}
