"""Engines over one PostgreSQL: what all of them have to agree on."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
import structlog
from tests.acceptance.postgres import POSTGRES
from tests.integration.deployments.admin_client import TOKEN, AdminClient, document
from tests.integration.engine_harness import Harness, ProbeKey, act

from hookline.access.tokens import ServerToken, digest
from hookline.api import hookimpl
from hookline.cli.running_server_file import admin_token, agree_on_token
from hookline.credentials import database_keys
from hookline.deployments.deployment_request import Deployed, DeploymentRequest
from hookline.deployments.folder_flow_storage import FolderFlowStorage
from hookline.deployments.version_switch import NOT_RUN
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.kernel.errors import CredentialError, DeploymentConflict, ServiceUnavailable
from hookline.model.access import FOLDER, Actor
from hookline.model.deployments_and_drafts import FlowFile
from hookline.model.execution import State
from hookline.model.message import Envelope
from hookline.secrets.encryption import Vault, generate_key, read_keys
from hookline.server_settings import Settings
from hookline.service.admin.system.health import Readiness, probes_blueprint
from hookline.service.app import create_pages
from hookline.storage.intake_queue import Insert
from hookline.testing.envelopes import Envelopes
from hookline.testing.eventually import assert_eventually
from hookline_sqlstore.cluster import membership

pytestmark = [pytest.mark.postgres, pytest.mark.cluster_rule("C12")]

_ANN = Actor("token", "ann")


def _orders(step: str, **more: Any) -> dict[str, Any]:
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    return {"id": "orders", "state": "active", "trigger": trigger, "steps": [act(step)], **more}


class _Nodes(Harness):
    """Engines that serve the flows of one database."""

    def __init__(self, folder: Path, db: str) -> None:
        super().__init__(folder, db=db)
        self._stack = AsyncExitStack()

    async def start(self, name: str, *, probe: bool = True, **options: Any) -> Engine:
        """Start a node; without `probe`, on a host on which the plugin of the probe isn't installed."""
        given = {"flows": None, "node_name": name, **options}
        engine = self.engine(**given)
        if not probe:
            engine = Engine(load_plugins(), engine.options, clock=self.clock)
        return await self._stack.enter_async_context(engine)

    async def two_in_folder(self) -> tuple[Engine, Engine]:
        """Start two nodes over a folder of flows."""
        flows = self.folder / "flows"
        return await self.start("one", flows=flows), await self.start("other", flows=flows)

    async def deploy(self, engine: Engine, step: str | None, **more: Any) -> Deployed:
        """Deploy a flow with this step; None deletes it."""
        document = None if step is None else json.dumps(_orders(step, **more)).encode()
        request = DeploymentRequest(_ANN, {"orders": document})
        return await engine.version_switch.deploy(await engine.version_switch.check(request))

    async def sql(self, statement: str, *values: Any) -> None:
        """Run a statement as if another process had done it."""
        connection = await asyncpg.connect(POSTGRES, server_settings={"search_path": self.db.partition("schema=")[2]})
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def nodes(tmp_path: Path, tables: str) -> AsyncIterator[_Nodes]:
    made = _Nodes(tmp_path, tables)
    try:
        yield made
    finally:
        await made.close()


def _cannot_adopt(engine: Engine) -> asyncio.Event:
    """Let an engine adopt nothing until the event is set."""
    allowed, adopt = asyncio.Event(), engine.membership.on_change
    assert adopt is not None

    async def wait() -> None:
        await allowed.wait()
        await adopt()

    engine.membership.on_change = wait
    return allowed


def _cannot_join(engine: Engine) -> asyncio.Event:
    """Let an engine that has lost its lease get no other one until the event is set."""
    allowed, joined = asyncio.Event(), engine.membership.joined  # type: ignore[attr-defined]  # it is that of the SQL store

    async def wait(driver: Any) -> int:
        await allowed.wait()
        now: int = await joined(driver)
        return now

    engine.membership.joined = wait  # type: ignore[attr-defined]
    return allowed


def _token_of(engine: Engine) -> str:
    """The secret of the credential that nodes share."""
    value = engine.credentials.get("key", None).value
    assert isinstance(value, ProbeKey)
    return value.token.get_secret_value()


async def test_a_credential_is_changed_on_each_node_when_the_change_is_answered(nodes: _Nodes) -> None:
    one, other = await nodes.start("one"), await nodes.start("other")
    here, there = AdminClient(nodes, one), AdminClient(nodes, other)
    for client, secret in ((here, "first"), (there, "second")):
        given = {"type": "probe", "values": {"token": secret}}
        status, answer = await client.ask("PUT", "credentials/key", given)
        assert (status, answer["pending"]) == (200, [])
        assert (_token_of(one), _token_of(other)) == (secret, secret)
    assert await here.ask("DELETE", "credentials/key") == (200, {"name": "key", "pending": []})
    with pytest.raises(CredentialError):
        _token_of(other)


async def test_an_answer_names_the_nodes_that_have_not_adopted_a_change(
    nodes: _Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = membership._PATIENCE
    monkeypatch.setattr(membership, "_PATIENCE", 0.2)
    one, other = await nodes.start("one"), await nodes.start("other")
    client = AdminClient(nodes, one)
    allowed = _cannot_adopt(other)
    flow = document("orders")
    assert (await client.put(flow))[1]["pending"] == ["other"]
    assert (await client.ask("POST", "deployments", {"flows": {"more": document("more")}}))[1]["pending"] == ["other"]
    assert (await client.ask("POST", "flows/orders/pause"))[1]["pending"] == ["other"]
    given = {"type": "probe", "values": {"token": "first"}}
    assert (await client.ask("PUT", "credentials/key", given))[1]["pending"] == ["other"]
    assert (await client.ask("DELETE", "credentials/key"))[1]["pending"] == ["other"]

    async def pending() -> dict[str, bool]:
        return {node["name"]: node["pending"] for node in (await client.ask("GET", "nodes"))[1]["items"]}

    assert (await pending())["other"]
    allowed.set()
    async with asyncio.timeout(20):
        while any((await pending()).values()):  # noqa: ASYNC110 - the nodes do it
            await asyncio.sleep(0.05)
    monkeypatch.setattr(membership, "_PATIENCE", usual)
    assert (await client.ask("POST", "flows/orders/resume"))[1]["pending"] == []


@pytest.mark.long
async def test_a_node_that_adopts_does_not_undo_what_is_deployed_meanwhile(nodes: _Nodes) -> None:
    one, other = await nodes.start("one"), await nodes.start("other")
    await nodes.deploy(one, "before")
    read, deployed = other.flow_storage.read, list[Deployed]()

    async def slowly() -> Any:
        reading = await read()
        if not deployed:
            deployed.append(await nodes.deploy(one, "after"))
        return reading

    other.flow_storage.read = slowly  # type: ignore[method-assign]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await other.version_switch.adopt()
    (served,) = await one.store.served_flows()
    (newest, *_) = (await one.store.deployments()).items
    assert newest.author == _ANN
    assert served.version == newest.flows[0].version


def _writes_later(engine: Engine) -> asyncio.Event:
    """Let an engine write the files of its deployments only when the event is set."""
    assert isinstance(engine.flow_storage, FolderFlowStorage)
    allowed, write = asyncio.Event(), engine.flow_storage.write

    async def later(files: Sequence[FlowFile], staged: Mapping[Path, Path]) -> None:
        await allowed.wait()
        await write(files, staged)

    engine.flow_storage.write = later  # type: ignore[method-assign]
    return allowed


async def _are_unwritten(engine: Engine) -> None:
    async with asyncio.timeout(20):
        while not await engine.store.unwritten_files():  # noqa: ASYNC110 - a deployment does it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("step", "more"), [("after", {}), ("before", {"title": "another"}), (None, {})])
async def test_a_node_does_not_deploy_again_what_another_node_deploys_to_their_folder(
    nodes: _Nodes, step: str | None, more: dict[str, Any]
) -> None:
    """Neither before the file is written, nor afterwards."""
    one, other = await nodes.two_in_folder()
    await nodes.deploy(one, "before")
    nodes.clock.advance(1)
    allowed = _writes_later(one)
    deploying = asyncio.ensure_future(nodes.deploy(one, step, **more))
    await _are_unwritten(one)

    async def is_served() -> None:
        await other.version_switch.adopt()
        newest, before = (await one.store.deployments()).items
        assert (newest.author, before.author) == (_ANN, _ANN)
        deployed = {flow.flow_id: flow.version for flow in newest.flows if flow.version is not None}
        assert {flow.flow_id: flow.version for flow in await one.store.served_flows()} == deployed
        assert {flow_id: _version(other) for flow_id in other.catalog.entries} == deployed

    await is_served()
    allowed.set()
    assert (await deploying).pending == ()
    await is_served()
    assert (nodes.folder / "flows" / "orders.json").exists() == (step is not None)


async def test_an_edit_wins_over_the_text_that_another_node_is_about_to_write(nodes: _Nodes) -> None:
    one, other = await nodes.two_in_folder()
    await nodes.deploy(one, "before")
    allowed = _writes_later(one)
    deploying = asyncio.ensure_future(nodes.deploy(one, "after"))
    await _are_unwritten(one)
    nodes.clock.advance(1)
    nodes.flow("orders", [act("edited")])
    await other.version_switch.refresh()
    (newest, *_) = (await one.store.deployments()).items
    assert (newest.author, _version(other)) == (FOLDER, newest.flows[0].version)
    assert [step.id for step in other.version_resolver.current("orders").steps] == ["edited"]
    allowed.set()
    await deploying


@pytest.mark.parametrize("trouble", [None, OSError("no such device"), DeploymentConflict("flow 'orders' has changed")])
async def test_a_node_that_cannot_read_its_folder_serves_what_another_node_has_deployed(
    nodes: _Nodes, trouble: Exception | None
) -> None:
    """`None` is a folder that git is changing."""
    one, other = await nodes.two_in_folder()
    await nodes.deploy(one, "before")

    async def read() -> None:
        if trouble is not None:
            raise trouble

    other.flow_storage.read = read  # type: ignore[method-assign]  # it never gives a reading
    assert (await nodes.deploy(one, "after")).pending == ()
    assert _version(other) == _version(one)
    assert (await nodes.deploy(one, None)).pending == ()
    assert not other.catalog.entries


async def _is_cut_off(nodes: _Nodes, engine: Engine) -> None:
    """Let the lease of an engine end as if it had been cut off for long, with all that it ran taken over."""
    await nodes.sql(
        "UPDATE nodes SET until = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 1, gone_at = 1"
        " WHERE name = $1",
        engine.options.node_name,
    )


async def test_a_node_that_was_cut_off_accepts_nothing_before_it_has_adopted_what_changed(nodes: _Nodes) -> None:
    one, other = await nodes.start("one"), await nodes.start("other")
    await nodes.deploy(one, "before")
    allowed, may_join = _cannot_adopt(other), _cannot_join(other)
    await _is_cut_off(nodes, other)
    # It has no lease, so that nobody waits for it.
    assert (await nodes.deploy(one, "after")).pending == ()
    may_join.set()
    await assert_eventually(lambda: not other.membership.current)
    async with asyncio.timeout(20):
        while len([node for node in await one.membership.nodes() if node.gone_at is None]) < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    # It has another lease, and doesn't know yet what has changed.
    with pytest.raises(ServiceUnavailable):
        await nodes.send(other, "orders", {})
    assert other.intake.direct_flow("orders") is None
    assert not other.membership.held
    allowed.set()
    await assert_eventually(lambda: other.membership.current)
    assert await nodes.until(other, await nodes.send(other, "orders", {}))
    assert nodes.probe.steps() == ["after"]


@pytest.mark.cluster_rule("C10")
async def test_a_node_that_has_lost_its_lease_leaves_the_folder_to_the_one_that_watches_it_now(
    nodes: _Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching: list[FolderFlowStorage] = []
    changes = FolderFlowStorage.changes

    async def noted(storage: FolderFlowStorage) -> AsyncIterator[None]:
        watching.append(storage)
        try:
            async for _ in changes(storage):
                yield
        finally:
            watching.remove(storage)

    async def is_watched_by_the_other_one() -> None:
        async with asyncio.timeout(20):
            while watching != [other.flow_storage]:
                nodes.clock.advance(5)
                await asyncio.sleep(0.02)

    monkeypatch.setattr(FolderFlowStorage, "changes", noted)
    flows = nodes.folder / "flows"
    one = await nodes.start("one", flows=flows, watch=True)
    await assert_eventually(lambda: watching == [one.flow_storage])
    other = await nodes.start("other", flows=flows, watch=True)
    may_join = _cannot_join(one)
    await _is_cut_off(nodes, one)
    await is_watched_by_the_other_one()
    may_join.set()
    await assert_eventually(lambda: one.membership.held, seconds=20)
    nodes.clock.advance(5)
    await is_watched_by_the_other_one()


@pytest.mark.cluster_rule("C21")
async def test_an_answer_names_a_node_that_accepts_messages_without_its_lease(nodes: _Nodes) -> None:
    one = await nodes.start("one")
    # Rows of nodes that can't reach the database: only the first two have an intake queue.
    for name, minutes, ago in (("cut-off", 5, 1), ("long-gone", 5, 6), ("without-queue", 0, 1)):
        await nodes.sql(
            "INSERT INTO nodes (lease, name, session, process, host, role, version, started_at, until, gone_at,"
            " released_at, accepts_without_lease)"
            " SELECT $1 || '.1', $1, '', '', 'elsewhere', 'webhook', '', at, at, at, at, $3 * 60000000::bigint"
            " FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000 - $2 * 60000000)::bigint) AS t (at)",
            name,
            ago,
            minutes,
        )
    assert (await nodes.deploy(one, "before")).pending == ("cut-off",)
    listed = {node.name: node.pending for node in await one.membership.nodes()}
    assert (listed["cut-off"], listed["without-queue"]) == (True, False)


def _version(engine: Engine) -> str:
    return engine.version_resolver.current("orders").version


async def test_a_node_that_has_not_adopted_a_deployment_starts_nothing_on_the_version_before(nodes: _Nodes) -> None:
    one, other = await nodes.start("one"), await nodes.start("other")
    await nodes.deploy(one, "before")
    assert await nodes.until(other, await nodes.send(other, "orders", {}))
    allowed = _cannot_adopt(other)
    deploying = asyncio.ensure_future(nodes.deploy(one, "after"))
    await assert_eventually(lambda: _version(one) != _version(other))
    # With its acceptance, and from the queue.
    sent = [await nodes.send(other, "orders", {}) for _ in range(3)]
    await asyncio.sleep(0.3)
    allowed.set()
    assert (await deploying).pending == ()
    nodes.clock.advance(1)
    for execution_id in sent:
        assert (await nodes.advance_until(other, execution_id)).state == "succeeded"
    assert nodes.probe.steps() == ["before", "after", "after", "after"]


async def _ready(engine: Engine) -> tuple[int, Any]:
    pages = create_pages((probes_blueprint(engine, Readiness.of(engine), ServerToken(TOKEN)),))
    response = await pages.test_client().get("/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
    return response.status_code, await response.get_json(force=True)


@pytest.mark.cluster_rule("C15")
async def test_a_node_that_lacks_an_action_accepts_the_messages_of_its_flow_and_leaves_them_to_others(
    nodes: _Nodes,
) -> None:
    whole = await nodes.start("whole")
    await nodes.deploy(whole, "act")
    with structlog.testing.capture_logs() as logs:
        lacking = await nodes.start("lacking", probe=False)
    assert [(one["flow_id"], one["actions"]) for one in logs if one["event"] == NOT_RUN] == [("orders", ["probe.act"])]
    assert await _ready(lacking) == (200, {"status": "ready", "not_run": {"orders": ["probe.act"]}})
    assert await _ready(whole) == (200, {"status": "ready"})
    sent = [await nodes.send(lacking, "orders", {}) for _ in range(5)]
    for execution_id in sent:
        execution = await nodes.advance_until(whole, execution_id)
        assert (execution.state, execution.node) == ("succeeded", "whole")


@pytest.mark.rule(12)
@pytest.mark.cluster_rule("C15")
async def test_what_no_node_can_run_is_blocked_with_the_reason_and_goes_on_when_a_node_can(nodes: _Nodes) -> None:
    whole = await nodes.start("whole")
    await nodes.deploy(whole, "act")
    await whole.stop(0)
    lacking = await nodes.start("lacking", probe=False)
    execution_id = await nodes.send(lacking, "orders", {})
    blocked = await nodes.until(lacking, execution_id, State.WAITING)
    assert blocked.reason == "blocked: no plugin here has the action 'probe.act'"
    again = await nodes.start("again")
    execution = await nodes.advance_until(again, execution_id)
    assert (execution.state, execution.node) == ("succeeded", "again")


@pytest.mark.cluster_rule("C15")
async def test_a_node_that_cannot_read_the_credential_of_a_trigger_is_not_ready(
    nodes: _Nodes,
) -> None:
    whole = await nodes.start("whole")
    client = AdminClient(nodes, whole)
    given = {"type": "github", "values": {"secret": "a-secret-of-16-bytes"}}
    assert (await client.ask("PUT", "credentials/hub", given))[0] == 200
    signed = {"use": "webhook", "with": {"verify": {"scheme": "github", "credential": "hub"}}}
    await client.deploy(document("signed", trigger=signed))
    assert (await _ready(whole))[0] == 200
    await nodes.sql("UPDATE credentials SET type = 'made-by-a-plugin'")
    other = await nodes.start("other")
    status, answer = await _ready(other)
    assert (status, answer["status"]) == (503, "messages of some flows can't be accepted")
    assert answer["reason"].startswith("flow 'signed': ")
    assert await client.ask("POST", "flows/signed/stop")
    assert (await _ready(other))[0] == 200


_OLD, _NEW = read_keys(generate_key()), read_keys(generate_key())


@pytest.mark.cluster_rule("C13")
async def test_a_node_without_the_key_does_not_start(nodes: _Nodes) -> None:
    await nodes.start("first", secret_keys=_OLD)
    kept: list[str] = []
    with pytest.raises(CredentialError, match=r"Set HOOKLINE_SECRET_KEY .* or put the file secret\.key"):
        await nodes.start("made", secret_keys=_NEW, keep_new_key=lambda: kept.append("a file"))
    assert kept == []
    with pytest.raises(CredentialError, match=Vault(_OLD).first):
        await nodes.start("other", secret_keys=_NEW)
    await nodes.start("both", secret_keys=(*_NEW, *_OLD))


@pytest.mark.cluster_rule("C13")
async def test_a_key_becomes_the_first_one_when_all_nodes_have_it(
    nodes: _Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_keys, "_AGAIN", 0.05)
    old = await nodes.start("old", secret_keys=_OLD)
    both = await nodes.start("both", secret_keys=(*_NEW, *_OLD))
    assert both.vault.first == Vault(_OLD).first
    status, answer = await AdminClient(nodes, both).ask("POST", "credentials/rotate")
    assert (status, "old" in answer["detail"]) == (422, True), answer
    # What one encrypts, the other can read, also after the next restart of the old one.
    await both.credentials.put("key", "probe", {"token": "secret"}, by=_ANN)
    assert await both.membership.adopted() == ()
    assert _token_of(old) == "secret"
    await old.stop(0)
    staged = await nodes.start("staged", secret_keys=(*_OLD, *_NEW))
    for engine in (both, staged):
        await assert_eventually(lambda engine=engine: engine.vault.first == Vault(_NEW).first, seconds=20)  # type: ignore[misc]  # it is bound
    token = staged.resume_tokens.make(nodes_id := both.ids.new(), "approve")
    assert both.resume_tokens.read(token) == (nodes_id, "approve")
    status, answer = await AdminClient(nodes, both).ask("POST", "credentials/rotate")
    assert (status, answer) == (200, {"rotated": 1, "retired": True, "pending": []})
    await nodes.start("new", secret_keys=_NEW)


@pytest.mark.cluster_rule("C13")
async def test_only_the_first_node_makes_an_admin_token_and_all_accept_it(
    nodes: _Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted: list[ServerToken] = []
    for name in ("first", "second"):
        engine = await nodes.start(name)
        (nodes.folder / name).mkdir()
        monkeypatch.chdir(nodes.folder / name)
        settings = Settings(db=nodes.db)
        token = ServerToken(admin_token(settings), lambda engine=engine: engine.admin_token)  # type: ignore[misc]  # it is bound
        await agree_on_token(settings, engine, token)
        accepted.append(token)
    made = (nodes.folder / "first" / ".hookline" / "admin.token").read_text(encoding="utf-8").strip()
    assert not (nodes.folder / "second" / ".hookline").exists()
    assert [token.accepts(digest(made)) for token in accepted] == [True, True]
    assert not accepted[1].accepts(digest(""))


class _Idle:
    """The same queue as `_Taken` on a node that gets none of its messages."""

    name = "one queue"

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def oldest(self) -> None:
        pass

    async def run(self, insert: Insert) -> None:
        await asyncio.Event().wait()

    async def run_in_order(self, *_: object) -> None:
        await asyncio.Event().wait()


class _Taken(_Idle):
    """An intake queue that hands over one message, once, as soon as it may; and its plugin."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.may, self.dropped, self.again = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @hookimpl
    def register_intake_queues(self) -> Mapping[str, Any]:
        return {"taken": lambda url, *, clock, blobs: self, "idle": lambda url, *, clock, blobs: _Idle()}

    async def run(self, insert: Insert) -> None:
        if self.dropped.is_set():
            self.again.set()
            await asyncio.Event().wait()
        await self.may.wait()
        try:
            await insert([self.envelope])
        except asyncio.CancelledError:
            self.dropped.set()
            raise


@pytest.mark.cluster_rule("C1", "C20")
async def test_what_a_node_has_taken_from_the_intake_queue_is_dropped_with_its_lease(nodes: _Nodes) -> None:
    envelope = Envelopes(nodes.clock).make("orders")
    queue = _Taken(envelope)
    nodes.plugins.append(queue)
    one, other = await nodes.start("one", queue="idle:"), await nodes.start("other", queue="taken:")
    await nodes.deploy(one, "step")
    may_join = _cannot_join(other)
    await _is_cut_off(nodes, other)
    queue.may.set()
    # Another node has it now, and may have run it and removed it before this one has a lease again.
    async with asyncio.timeout(20):
        await queue.dropped.wait()
    may_join.set()
    await assert_eventually(lambda: other.membership.held)
    nodes.clock.advance(10)
    async with asyncio.timeout(20):
        await queue.again.wait()
    assert await one.store.execution(envelope.execution_id) is None
