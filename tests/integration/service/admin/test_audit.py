"""The audit: each operation that changes something writes one entry, in its commit."""

import asyncio
import json
import os
import pwd
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, get_args

import pytest
from click.testing import CliRunner
from quart import Quart
from quart.typing import TestClientProtocol as Client
from tests.integration.authorization_server import AuthorizationService
from tests.integration.engine_harness import KEYS, Harness, act
from tests.integration.oauth2_acme import acme, values
from tests.integration.oauth2_engine import HERE, redirected

from hookline import cli
from hookline.access import audit
from hookline.access.caller import Caller
from hookline.access.tokens import digest
from hookline.api import Connector, PollContext, PollResult, ResetsCursor, hookimpl
from hookline.cli.main import main
from hookline.engine import Engine
from hookline.kernel.json import encode
from hookline.model.access import FOLDER, SYSTEM, Actor, AuditEntry, AuditFilter, TokenScope
from hookline.model.execution import State
from hookline.secrets.encryption import Vault, for_credential, generate_key, read_keys
from hookline.service.admin import blueprints
from hookline.service.app import create_pages
from hookline.storage import change_declarations as ch
from hookline.storage.change_declarations import Change, PutCredential, RecordAudit
from hookline_sqlstore.store import SqlStore

pytestmark = pytest.mark.usefixtures("quick_doctor")

TOKEN: Final = "a-token-of-the-tests"
CLI: Final = Path(cli.__file__).parent
OLD: Final = read_keys(generate_key())
NEWEST: Final = "the newest deployment"
ANY: Final = "any"
NONE: Final = "none"
HOLD: Final = {"id": "hold", "use": "webhook"}
FAIL: Final = {"id": "no", "use": "fail", "with": {"message": "not today", "code": "closed"}}


class Plugin:
    """A plugin with a poll, and with a credential that somebody authorizes."""

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        return [shop(), acme()]


def shop() -> Connector:
    """A connector with a poll that finds nothing."""
    connector = Connector("shop")

    @connector.poll(every="1m")
    async def orders(ctx: PollContext[None], cursor: Any, folder: Annotated[str, ResetsCursor()] = "in") -> PollResult:
        """Starts no execution."""
        return PollResult((), 1)

    return connector


def polled(folder: str) -> dict[str, Any]:
    return {"use": "shop.orders", "with": {"folder": folder}}


Commit: TypeAlias = Sequence[Change]
#: The commits of the current request.
_commits: ContextVar[list[Commit] | None] = ContextVar("commits", default=None)


@dataclass
class World:
    """An engine with its API, and the service that authorizes."""

    harness: Harness
    engine: Engine
    app: Quart
    client: Client
    service: Callable[[], AuthorizationService]
    headers: Mapping[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {TOKEN}"})

    async def ask(
        self, method: str, path: str, body: Any = None, commits: list[Commit] | None = None
    ) -> tuple[int, Any]:
        """Send a request; `commits` is given those that it makes, and not those of flows that run meanwhile."""
        _commits.set(commits)
        try:
            return await self._ask(method, path, body)
        finally:
            _commits.set(None)

    async def _ask(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        response = await self.client.open(
            f"/api/v1/{path}",
            method=method,
            headers=self.headers,
            data=body if body is None or isinstance(body, bytes) else encode(body),
        )
        if response.content_type == "text/event-stream":
            return response.status_code, None
        content = await response.get_data(as_text=False)
        return response.status_code, json.loads(content) if content else None

    def me(self) -> Caller:
        return Caller(Actor("token", "admin"), TokenScope.ADMIN, token=digest(TOKEN))

    async def entries(self) -> list[AuditEntry]:
        return list((await self.engine.store.audit(limit=200)).items)

    async def ended(self, flow_id: str) -> str:
        """A new execution of a flow that has ended."""
        execution_id = await self.harness.send(self.engine, flow_id, 1)
        await self.harness.until(self.engine, execution_id)
        return execution_id

    async def waiting(self) -> str:
        execution_id = await self.harness.send(self.engine, "waits", 1)
        await self.harness.until(self.engine, execution_id, State.WAITING)
        return execution_id

    async def deploy(self, flow_id: str, *steps: Mapping[str, Any]) -> None:
        self.harness.flow(flow_id, steps)
        await self.engine.version_switch.refresh()

    def version(self, flow_id: str) -> str:
        return self.engine.version_resolver.current(flow_id).version


@pytest.fixture
async def world(
    harness: Harness, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    commit = SqlStore.commit

    async def noted(store: SqlStore, changes: Commit) -> Any:
        commits = _commits.get()
        if commits is not None:
            commits.append(changes)
        return await commit(store, changes)

    monkeypatch.setattr(SqlStore, "commit", noted)
    harness.flow("works", [act("one")])
    harness.flow("fails", [FAIL])
    harness.flow("waits", [HOLD])
    harness.flow("polls", [act("one")], trigger=polled("in"))
    harness.plugins = [Plugin()]
    async with harness.engine(**HERE, secret_keys=(*KEYS, *OLD)) as engine:
        app = create_pages(blueprints(engine, TOKEN))
        yield World(harness, engine, app, app.test_client(), lambda: request.getfixturevalue("service"))


@dataclass(frozen=True)
class Case:
    """A request, and what its entries say."""

    path: str
    body: Any = None
    flow_id: str | None = None
    version: str | None = None
    """None for the one that serves, if there is a flow; `NONE` and `ANY` for what they say."""
    subjects: tuple[str | None, ...] | Callable[[Any], str] | str = (None,)
    """One for each entry; or the one that the answer names, `NEWEST`, or `ANY`."""


async def on_failed(world: World, operation: str) -> Case:
    execution_id = await world.ended("fails")
    return Case(f"executions/{execution_id}/{operation}", None, "fails", subjects=(execution_id,))


async def retry(world: World) -> Case:
    return await on_failed(world, "retry")


async def discard(world: World) -> Case:
    return await on_failed(world, "discard")


async def release(world: World) -> Case:
    return await on_failed(world, "release")


async def replay(world: World) -> Case:
    return await on_failed(world, "replay")


async def cancel(world: World) -> Case:
    execution_id = await world.waiting()
    return Case(f"executions/{execution_id}/cancel", None, "waits", subjects=(execution_id,))


async def resume(world: World) -> Case:
    execution_id = await world.waiting()
    return Case(f"executions/{execution_id}/resume", {"step": "hold"}, "waits", subjects=(execution_id,))


async def move(world: World) -> Case:
    execution_id = await world.waiting()
    await world.deploy("waits", HOLD, act("last"))
    return Case(f"executions/{execution_id}/move", None, "waits", subjects=(execution_id,))


async def many(world: World) -> Case:
    failed = [await world.ended("fails") for _ in range(2)]
    body = {"do": "discard", "flow_id": "fails"}
    return Case("executions/many", body, "fails", subjects=tuple(sorted(failed)))


def decided(decision: str) -> Callable[[World], Awaitable[Case]]:
    async def case(world: World) -> Case:
        return Case(f"flows/works/{decision}", None, "works")

    return case


async def start(world: World) -> Case:
    return Case("flows/works/start", {"body": 1}, "works", subjects=lambda answer: answer["execution_id"])


async def send(world: World) -> Case:
    return Case("flows/works/send", {"body": ""}, "works", subjects=lambda answer: answer["execution_id"])


async def rollback(world: World) -> Case:
    version = world.version("works")
    await world.deploy("works", act("two"))
    return Case("flows/works/rollback", None, "works", version, NEWEST)


async def answer(world: World) -> Case:
    await world.harness.looked(world.engine, "polls")
    document = {"id": "polls", "trigger": polled("out"), "steps": [act("one")]}
    _, plan = await world.ask("POST", "flows/polls/plan", {"document": document})
    return Case("flows/polls/plan", {"document": document, "existing": True}, "polls", plan["version"])


async def set_value(world: World) -> Case:
    return Case("flows/works/state/value?key=k", 1, "works", subjects=("k",))


async def delete_value(world: World) -> Case:
    assert await world.ask("PUT", "flows/works/state/value?key=k", 1) == (204, None)
    return Case("flows/works/state/value?key=k", None, "works", subjects=("k",))


async def put_credential(world: World) -> Case:
    return Case("credentials/key", {"type": "bearer", "values": {"token": "x" * 20}}, subjects=("key",))


async def change_credential(world: World) -> Case:
    await world.engine.credentials.put("key", "bearer", {"token": "x" * 20}, by=SYSTEM)
    return Case("credentials/key", {"hosts": ["api.example.com"]}, subjects=("key",))


async def delete_credential(world: World) -> Case:
    await world.engine.credentials.put("key", "bearer", {"token": "x" * 20}, by=SYSTEM)
    return Case("credentials/key", subjects=("key",))


async def authorize(world: World) -> Case:
    given = {"type": "acme", "values": values(world.service())}
    status, made = await world.ask("PUT", "credentials/prod", given)
    assert status == 200, made
    _, begun = await world.ask("POST", "credentials/prod/authorize", {"redirect_uri": "http://127.0.0.1:9/cb"})
    query = await redirected(begun["url"])
    return Case(f"credentials/prod/authorize/{begun['id']}", {"redirected": query}, subjects=("prod",))


async def rotate(world: World) -> Case:
    ciphertext = Vault(OLD).encrypt(encode({"token": "x" * 20}), purpose=for_credential("key", "bearer"))
    await world.engine.store.commit([PutCredential("key", "bearer", ciphertext, world.engine.clock.now())])
    await world.engine.credentials.load()
    return Case("credentials/rotate")


def new_flow(flow_id: str) -> dict[str, Any]:
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    return {"id": flow_id, "trigger": trigger, "steps": [{"id": "m", "use": "map", "with": {"body": "$.body"}}]}


def deployed(answer: Any) -> str:
    found: str = answer["deployment"]["id"]
    return found


async def put_flow(world: World) -> Case:
    return Case("flows/new", new_flow("new"), "new", subjects=NEWEST)


async def delete_flow(world: World) -> Case:
    return Case("flows/works", None, "works", NONE, NEWEST)


async def put_cases(world: World) -> Case:
    cases = [{"name": "it runs", "input": {"body": {}}, "expect": {"outcome": "completed"}}]
    return Case("flows/works/cases", {"cases": cases}, "works")


async def deploy_set(world: World) -> Case:
    return Case("deployments", {"flows": {"new": new_flow("new")}}, "new", subjects=deployed)


async def roll_back_set(world: World) -> Case:
    version = world.version("works")
    first = (await world.engine.store.deployments()).items[-1].id
    await world.deploy("works", act("two"))
    return Case(f"deployments/{first}/rollback", None, "works", version, deployed)


async def try_really(world: World) -> Case:
    given = {"document": new_flow("works"), "effects": "real", "input": {"body": 1}}
    return Case("try", given, "works", ANY, ANY)


async def save_draft(world: World) -> Case:
    return Case("drafts/new", {"text": "{"}, "new", NONE)


async def delete_draft(world: World) -> Case:
    assert (await world.ask("PUT", "drafts/new", {"text": "{"}))[0] == 201
    return Case("drafts/new", None, "new", NONE)


async def open_capture(world: World) -> Case:
    return Case("captures", {"flow_id": "new"}, "new", NONE)


def captured(path: str) -> Callable[[World], Awaitable[Case]]:
    async def case(world: World) -> Case:
        assert (await world.ask("POST", "captures", {"flow_id": "new"}))[0] == 201
        return Case(f"captures/new{path}", None, "new", NONE)

    return case


async def create_token(world: World) -> Case:
    return Case("tokens", {"name": "ci", "scopes": ["read"]}, subjects=lambda answer: answer["id"])


async def revoke_token(world: World) -> Case:
    _, made = await world.ask("POST", "tokens", {"name": "ci", "scopes": ["read"]})
    return Case(f"tokens/{made['id']}", subjects=(made["id"],))


async def sign_in(world: World) -> Case:
    return Case("session", {"token": TOKEN}, subjects=ANY)


async def sign_out(world: World) -> Case:
    _, secret = await world.engine.sessions.begin(world.me())
    world.headers = {"Cookie": f"hookline-{world.engine.instance_id}={secret}", "Origin": "http://localhost"}
    return Case("session", subjects=ANY)


async def create_link(world: World) -> Case:
    return Case("sign-in-links", subjects=ANY)


async def drain_node(world: World) -> Case:
    (node,) = await world.engine.membership.nodes()
    return Case(f"nodes/{node.lease}/drain", subjects=(node.lease,))


E: Final = "/api/v1/executions"
F: Final = "/api/v1/flows/{flow_id}"
C: Final = "/api/v1/credentials"
CASES: Final[Mapping[tuple[str, str], tuple[audit.AuditedOperation, Callable[[World], Awaitable[Case]]]]] = {
    ("POST", f"{E}/{{execution_id}}/retry"): ("execution.retry", retry),
    ("POST", f"{E}/{{execution_id}}/replay"): ("execution.replay", replay),
    ("POST", f"{E}/{{execution_id}}/resume"): ("execution.resume", resume),
    ("POST", f"{E}/{{execution_id}}/cancel"): ("execution.cancel", cancel),
    ("POST", f"{E}/{{execution_id}}/discard"): ("execution.discard", discard),
    ("POST", f"{E}/{{execution_id}}/release"): ("execution.release", release),
    ("POST", f"{E}/{{execution_id}}/move"): ("execution.move", move),
    ("POST", f"{E}/many"): ("execution.discard", many),
    ("POST", f"{F}/pause"): ("flow.pause", decided("pause")),
    ("POST", f"{F}/resume"): ("flow.resume", decided("resume")),
    ("POST", f"{F}/stop"): ("flow.stop", decided("stop")),
    ("POST", f"{F}/reset"): ("flow.reset", decided("reset")),
    ("POST", f"{F}/start"): ("flow.start", start),
    ("POST", f"{F}/send"): ("flow.send", send),
    ("POST", f"{F}/rollback"): ("flow.rollback", rollback),
    ("POST", f"{F}/plan"): ("poll.answer", answer),
    ("PUT", F): ("flow.deploy", put_flow),
    ("DELETE", F): ("flow.delete", delete_flow),
    ("PUT", f"{F}/cases"): ("flow.cases", put_cases),
    ("POST", "/api/v1/deployments"): ("flow.deploy", deploy_set),
    ("POST", "/api/v1/deployments/{deployment_id}/rollback"): ("flow.rollback", roll_back_set),
    ("POST", "/api/v1/try"): ("flow.try", try_really),
    ("PUT", "/api/v1/drafts/{flow_id}"): ("draft.save", save_draft),
    ("DELETE", "/api/v1/drafts/{flow_id}"): ("draft.delete", delete_draft),
    ("POST", "/api/v1/captures"): ("capture.open", open_capture),
    ("POST", "/api/v1/captures/{flow_id}/close"): ("capture.close", captured("/close")),
    ("DELETE", "/api/v1/captures/{flow_id}"): ("capture.delete", captured("")),
    ("POST", "/api/v1/nodes/{node_id}/drain"): ("node.drain", drain_node),
    ("PUT", f"{F}/state/value"): ("state.set", set_value),
    ("DELETE", f"{F}/state/value"): ("state.delete", delete_value),
    ("PUT", f"{C}/{{name}}"): ("credential.put", put_credential),
    ("PATCH", f"{C}/{{name}}"): ("credential.put", change_credential),
    ("DELETE", f"{C}/{{name}}"): ("credential.delete", delete_credential),
    ("POST", f"{C}/{{name}}/authorize/{{id}}"): ("credential.authorize", authorize),
    ("POST", f"{C}/rotate"): ("key.rotate", rotate),
    ("POST", "/api/v1/session"): ("session.create", sign_in),
    ("DELETE", "/api/v1/session"): ("session.end", sign_out),
    ("POST", "/api/v1/sign-in-links"): ("sign_in_link.create", create_link),
    ("POST", "/api/v1/tokens"): ("token.create", create_token),
    ("DELETE", "/api/v1/tokens/{token_id}"): ("token.revoke", revoke_token),
}

UNCHANGING: Final[Mapping[tuple[str, str], str]] = {
    ("POST", "/api/v1/check"): "reads a document",
    ("POST", "/api/v1/evaluate"): "reads a document",
    ("POST", "/api/v1/evaluate-step"): "reads a document",
    ("POST", "/api/v1/format"): "reads a document",
    ("POST", "/api/v1/diff"): "reads a document",
    ("POST", "/api/v1/test"): "runs a document on cases, with stubbed effects",
    ("POST", f"{E}/search"): "reads messages",
    ("POST", "/api/v1/backtest"): "runs a document on recorded messages, with stubbed effects",
    ("POST", f"{F}/sign"): "returns a signed message, and sends none",
    ("POST", f"{C}/{{name}}/verify"): "asks the service",
    ("POST", f"{C}/{{name}}/authorize"): "returns an address; the tokens to which it leads are recorded",
    ("POST", "/api/v1/components/{component}/options/{setting}"): "asks the service",
}
"""The other routes that aren't called with GET, and the reason why they have no entry."""


#: The changes that only the engine makes by itself, or a flow that runs; nobody decides on them.
OWN: Final = frozenset(
    (
        *(ch.Start, ch.Resume, ch.Park, ch.MoveWaits, ch.Unblock, ch.End),
        *(ch.RecordSteps, ch.CheckpointItems, ch.DropEntries, ch.FinishBlock),
        *(ch.BeginWait, ch.TimeOutWait, ch.EndWait, ch.ForgetCallbacks, ch.ForgetEarlyCallbacks),
        *(ch.JoinBatch, ch.CloseBatch, ch.TakeBatch, ch.AddState, ch.TakeDedupeKeys, ch.SetSubscription),
        *(ch.UseKeys, ch.RetireKeys, ch.SetAdminToken),
        *(ch.ForgetAudit, ch.ForgetSessions, ch.RejectSignIns, ch.Reject, ch.ForgetFiles, ch.UseFiles),
        *(ch.PutStatistics, ch.RollUpStatistics, ch.ReportProblems, ch.Purge),
        *(ch.KeepCaptured, ch.ForgetCaptured),
        *(ch.ForgetDedupeKeys, ch.ForgetVersions, ch.KeepAlias, ch.MarkDelivered),
        # The files of a deployment, which its commit has announced.
        ch.FilesWritten,
    )
)
#: The changes that somebody makes, and a route that makes each.
MADE: Final[Mapping[type, tuple[str, str]]] = {
    ch.Accept: ("POST", f"{F}/start"),
    ch.Cancel: ("POST", f"{E}/{{execution_id}}/cancel"),
    ch.Reopen: ("POST", f"{E}/{{execution_id}}/retry"),
    ch.Rebind: ("POST", f"{E}/{{execution_id}}/move"),
    ch.DismissDeadLetter: ("POST", f"{E}/many"),
    ch.ReleaseOrderKey: ("POST", f"{E}/{{execution_id}}/release"),
    ch.StoreCallback: ("POST", f"{E}/{{execution_id}}/resume"),
    ch.Publish: ("PUT", F),
    ch.Deploy: ("POST", "/api/v1/deployments/{deployment_id}/rollback"),
    ch.WriteFiles: ("POST", "/api/v1/deployments"),
    ch.SetCases: ("PUT", f"{F}/cases"),
    ch.PutDraft: ("PUT", "/api/v1/drafts/{flow_id}"),
    ch.DropDraft: ("DELETE", "/api/v1/drafts/{flow_id}"),
    ch.OpenCapture: ("POST", "/api/v1/captures"),
    ch.CloseCapture: ("POST", "/api/v1/captures/{flow_id}/close"),
    ch.DropCapture: ("DELETE", "/api/v1/captures/{flow_id}"),
    ch.OverrideState: ("POST", f"{F}/pause"),
    ch.SetState: ("PUT", f"{F}/state/value"),
    ch.SetCursor: ("POST", f"{F}/plan"),
    ch.PutCredential: ("PUT", f"{C}/{{name}}"),
    ch.PutTokens: ("POST", f"{C}/{{name}}/authorize/{{id}}"),
    ch.DropCredential: ("DELETE", f"{C}/{{name}}"),
    ch.ReencryptSubscription: ("POST", f"{C}/rotate"),
    ch.SetDataKey: ("POST", f"{C}/rotate"),
    ch.ReencryptBatchItem: ("POST", f"{C}/rotate"),
    ch.ReencryptCallback: ("POST", f"{C}/rotate"),
    ch.CreateSession: ("POST", "/api/v1/session"),
    ch.UseSignInCode: ("POST", "/api/v1/session"),
    ch.EndSession: ("DELETE", "/api/v1/session"),
    ch.CreateSignInCode: ("POST", "/api/v1/sign-in-links"),
    ch.CreateToken: ("POST", "/api/v1/tokens"),
    ch.RevokeToken: ("DELETE", "/api/v1/tokens/{token_id}"),
    ch.RecordAudit: ("POST", "/api/v1/try"),
    ch.DrainNode: ("POST", "/api/v1/nodes/{node_id}/drain"),
}
#: They need a redacted execution, a subscription, flows in the database or a sign-in code, and have their own tests.
NOT_SEEN_HERE: Final = frozenset(
    {
        ch.ReencryptSubscription,
        ch.SetDataKey,
        ch.ReencryptBatchItem,
        ch.ReencryptCallback,
        ch.SetCases,
        ch.UseSignInCode,
    }
)


def is_recorded(commit: Commit) -> bool:
    """Return true if a commit has an entry, or a change that adds one if it takes effect."""
    return any(isinstance(one, ch.RecordAudit) or getattr(one, "audit", None) is not None for one in commit)


def by_somebody(commits: Sequence[Commit]) -> list[Commit]:
    """Those of some commits that have changes by somebody."""
    return [commit for commit in commits if any(type(one) not in OWN for one in commit)]


def test_each_change_is_by_somebody_or_by_the_engine() -> None:
    """A new one is recorded with its route, or belongs to the engine."""
    assert OWN | MADE.keys() == ch.DECLARATIONS.keys()
    assert not OWN & MADE.keys()
    assert set(MADE.values()) <= CASES.keys()


async def subjects_of(world: World, case: Case, answer: Any, new: list[AuditEntry]) -> list[str]:
    if callable(case.subjects):
        return [case.subjects(answer)]
    if case.subjects == NEWEST:
        return [(await world.engine.store.deployments(limit=1)).items[0].id]
    if case.subjects == ANY:
        (entry,) = new
        return [entry.subject or ""]
    return [subject or "" for subject in case.subjects]


def version_of(world: World, case: Case, entry: AuditEntry) -> str | None:
    if case.version == ANY:
        assert entry.flow_version is not None
        return entry.flow_version
    if case.version == NONE or case.flow_id is None:
        return None
    return case.version or world.version(case.flow_id)


@pytest.mark.rule(48, 49)
@pytest.mark.parametrize("route", CASES, ids=" ".join)
async def test_an_operation_writes_one_entry(world: World, route: tuple[str, str]) -> None:
    operation, make = CASES[route]
    case = await make(world)
    before = await world.entries()
    commits: list[Commit] = []
    status, answer = await world.ask(route[0], case.path, case.body, commits)
    assert status < 300, answer
    made = by_somebody(commits)
    assert made
    assert all(map(is_recorded, made)), "each commit of a request has its entry"
    wanted = {change for change, where in MADE.items() if where == route} - NOT_SEEN_HERE
    assert wanted <= {type(one) for commit in made for one in commit}
    new = [entry for entry in await world.entries() if entry not in before]
    assert sorted(entry.subject or "" for entry in new) == await subjects_of(world, case, answer, new)
    for entry in new:
        assert (entry.actor, entry.operation) == (Actor("token", "admin", "<local>"), operation)
        assert (entry.flow_id, entry.flow_version) == (case.flow_id, version_of(world, case, entry))
        told = audit.OPERATIONS[operation]
        assert (entry.subject is not None) == bool(told.subject)
        assert (entry.flow_id is not None) == told.flow
        assert entry.detail is None or told.detail


def shape(rule: str) -> str:
    """The path of a route, as the tables have it."""
    return re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule)


async def test_each_route_that_is_not_a_get_is_in_the_table(world: World) -> None:
    """Each that the application has, with a description or without."""
    found = {
        (method, shape(rule.rule))
        for rule in world.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {route for route in found if route[0] != "GET"} == CASES.keys() | UNCHANGING.keys()


NAMES: Final = {"version": "current", "name": "key", "part": "0000", "cause": "a:b", "code": "x"}


@pytest.mark.rule(48)
async def test_no_get_changes_anything(world: World) -> None:
    ids = {"flow_id": "works", "execution_id": await world.ended("works"), **NAMES}
    ids |= {"deployment_id": (await world.engine.store.deployments()).items[0].id}
    await world.engine.credentials.put("key", "bearer", {"token": "x" * 20}, by=SYSTEM)
    commits: list[Commit] = []
    answers: dict[str, int] = {}
    for rule in world.app.url_map.iter_rules():
        if "GET" in (rule.methods or ()) and rule.rule.startswith("/api/v1/") and not rule.rule.endswith("/events"):
            path = re.sub(r"<(?:[^:>]*:)?([^>]+)>", lambda name: ids.get(name[1], "x"), rule.rule)
            answers[rule.rule], _ = await world.ask("GET", path.removeprefix("/api/v1/"), None, commits)
    assert sum(status == 200 for status in answers.values()) > 20, answers
    assert commits == []


@pytest.mark.rule(48)
async def test_what_changes_nothing_commits_nothing(world: World) -> None:
    """The other routes, and those of the table where they are asked to change nothing or find nothing to do."""
    document, message = new_flow("works"), {"body": 1}
    await world.engine.credentials.put("key", "bearer", {"token": "x" * 20}, by=SYSTEM)
    await world.ask("PUT", "credentials/prod", {"type": "acme", "values": values(world.service())})
    await world.ask("PUT", "flows/new", new_flow("new"))
    await world.ended("works")
    commits: list[Commit] = []
    routes = world.app.url_map.bind("localhost")
    asked: set[tuple[str, str]] = set()
    for method, path, body, statuses in (
        ("POST", "check", {"document": document}, {200}),
        ("POST", "evaluate", {"expression": "$.body", "message": message}, {200}),
        ("POST", "evaluate-step", {"document": document, "step": "/steps/0", "input": message}, {200}),
        ("POST", "format", {"document": document}, {200}),
        ("POST", "diff", {"document": document}, {200}),
        ("POST", "test", {"document": document, "cases": {"cases": []}}, {200}),
        ("POST", "try", {"document": document, "input": message}, {200}),
        ("POST", "backtest", {"document": document}, {200}),
        ("POST", "flows/works/sign", {"body": ""}, {200, 422}),
        ("POST", "credentials/key/verify", None, {200}),
        ("POST", "credentials/prod/authorize", {"redirect_uri": "http://127.0.0.1:9/cb"}, {200}),
        ("POST", "components/map/options/body", {}, {404, 422}),
        ("POST", "flows/works/plan", {"document": document}, {200}),
        ("PUT", "flows/works?dry_run=true", document, {200}),
        ("DELETE", "flows/works?dry_run=true", None, {200}),
        ("POST", "deployments", {"flows": {"works": document}, "dry_run": True}, {200}),
        ("PUT", "flows/new", new_flow("new"), {200}),
        ("POST", "deployments", {"flows": {"new": new_flow("new")}}, {200}),
        ("PUT", "flows/works/cases", {"cases": []}, {204}),
        ("POST", "executions/many", {"do": "discard", "flow_id": "polls"}, {200}),
        ("POST", "executions/search", {"text": "x"}, {200}),
    ):
        status, answer = await world.ask(method, path, body, commits)
        assert status in statuses, (path, answer)
        assert by_somebody(commits) == [], path
        rule, _ = routes.match(f"/api/v1/{path.partition('?')[0]}", method, return_rule=True)
        asked.add((method, shape(rule.rule)))
    assert asked >= UNCHANGING.keys()


def test_the_command_line_writes_to_no_database_by_itself() -> None:
    """Its commands use the API, in their own process if no server runs; so they are recorded as requests are."""
    found = {
        source.relative_to(CLI).as_posix(): source.read_text(encoding="utf-8").count(".commit(")
        for source in CLI.rglob("*.py")
        if ".commit(" in source.read_text(encoding="utf-8")
    }
    # `hookline run` keeps renewed access tokens, and stores the files that it is given.
    assert found == {"author/run.py": 2}


def test_each_operation_is_in_the_table() -> None:
    assert {operation for operation, _ in CASES.values()} == audit.OPERATIONS.keys()
    assert set(get_args(audit.AuditedOperation)) == audit.OPERATIONS.keys()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "executions/{done}/retry", None),
        ("POST", "executions/{done}/resume", {"step": "hold"}),
        ("POST", "executions/{done}/cancel", None),
        ("POST", "executions/{done}/discard", None),
        ("POST", "executions/{done}/release", None),
        ("POST", "executions/{done}/move", None),
        ("POST", "executions/{done}/replay?from=nowhere", None),
        ("POST", "executions/many", {"do": "retry", "limit": 0}),
        ("POST", "flows/nothing/pause", None),
        ("POST", "flows/nothing/rollback", None),
        ("POST", "flows/works/rollback", None),
        ("POST", "flows/works/start", {"body": 1, "more": 2}),
        ("POST", "flows/works/plan", {"document": {}}),
        ("PUT", "flows/works/state/value?key=k", b"{"),
        ("DELETE", "flows/works/state/value?key=k", None),
        ("PUT", "credentials/key", {"type": "nothing", "values": {}}),
        ("DELETE", "credentials/key", None),
        ("POST", "credentials/key/authorize/1", {"redirected": "?"}),
        ("POST", "tokens", {"name": "", "scopes": ["read"]}),
        ("DELETE", "tokens/nothing", None),
    ],
)
@pytest.mark.rule(48)
async def test_an_operation_that_fails_writes_no_entry(world: World, method: str, path: str, body: Any) -> None:
    done = await world.ended("works")
    before = await world.entries()
    status, answer = await world.ask(method, path.format(done=done), body)
    assert 400 <= status < 500, answer
    assert await world.entries() == before


@pytest.mark.rule(49)
async def test_reading_and_failing_to_sign_in_write_no_entry(world: World) -> None:
    before = await world.entries()
    for path in ("flows", "executions", "audit", "tokens", "credentials", "dead-letters"):
        assert (await world.ask("GET", path))[0] == 200
    rejected = await world.client.post("/api/v1/flows/works/pause", headers={"Authorization": "Bearer wrong"})
    assert rejected.status_code == 401
    assert await world.entries() == before


async def test_a_flow_of_which_only_entries_are_left_is_no_error_with_any_filter(world: World) -> None:
    entry = AuditEntry(world.engine.ids.new(), world.engine.clock.now(), SYSTEM, "flow.start", "gone")
    await world.engine.store.commit([RecordAudit((entry,))])
    for also, number in (("", 1), ("&actor=nobody", 0)):
        status, page = await world.ask("GET", f"audit?flow_id=gone{also}")
        assert (status, len(page["items"])) == (200, number)
    assert (await world.ask("GET", "audit?flow_id=never"))[0] == 404


async def test_a_flow_that_is_started_twice_with_a_key_has_one_entry(world: World) -> None:
    for status in (202, 200):
        assert (await world.ask("POST", "flows/works/start", {"body": 1, "dedupe_key": "k"}))[0] == status
    found = await world.engine.store.audit(AuditFilter(operation="flow.start"))
    assert len(found.items) == 1


@pytest.mark.rule(49)
async def test_a_version_in_the_folder_is_recorded_when_it_begins_to_serve(harness: Harness) -> None:
    harness.flow("f", [act("one")])

    async def deployed(engine: Engine) -> list[str | None]:
        found = (await engine.store.audit(AuditFilter(operation="flow.deploy", flows=("f",)))).items
        assert {entry.actor for entry in found} == {FOLDER}
        return [entry.flow_version for entry in reversed(found)]

    async with harness.engine() as engine:
        first = engine.version_resolver.current("f").version
        assert await deployed(engine) == [first]
    harness.clock.advance(1)
    async with harness.engine() as engine:
        assert await deployed(engine) == [first]
        harness.flow("f", [act("two")])
        await engine.version_switch.refresh()
        assert await deployed(engine) == [first, engine.version_resolver.current("f").version]


@pytest.mark.rule(49)
async def test_a_decision_that_ends_with_a_change_of_the_file_is_ended_by_the_system(world: World) -> None:
    await world.ask("POST", "flows/works/pause")
    world.harness.flow("works", [act("one")], state="stopped")
    await world.engine.version_switch.refresh()
    (entry,) = (await world.engine.store.audit(AuditFilter(actor="system"))).items
    assert (entry.operation, entry.flow_id, entry.flow_version) == ("flow.reset", "works", world.version("works"))
    assert entry.detail == "its file says stopped now"


async def test_an_execution_that_a_flow_cancels_is_not_recorded(world: World) -> None:
    execution_id = await world.waiting()
    before = await world.entries()
    await world.engine.operations.cancel(execution_id, by=None)
    await world.harness.until(world.engine, execution_id)
    assert await world.entries() == before


@pytest.mark.rule(49)
async def test_entries_are_kept_for_400_days_by_default(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    day = timedelta(days=1).total_seconds()
    async with harness.engine() as engine:
        harness.clock.advance(399 * day)
        await engine._sweeper.sweep()
        assert len((await engine.store.audit()).items) == 1
        await engine.version_switch.set_state("f", "paused", by=SYSTEM)
        harness.clock.advance(2 * day)
        await engine._sweeper.sweep()
        assert [entry.operation for entry in (await engine.store.audit()).items] == ["flow.pause"]


class TestCommand:
    @pytest.fixture(autouse=True)
    def folder(self, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Path:
        harness.flow("f", [])
        monkeypatch.chdir(harness.folder)
        return harness.folder

    async def hookline(self, *arguments: str) -> str:
        db = ("--db", f"sqlite:///{Path.cwd()}/hookline.db")
        result = await asyncio.to_thread(CliRunner().invoke, main, [*arguments, *db], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    @pytest.mark.rule(49)
    async def test_the_command_line_in_its_own_process_is_a_local_user(self) -> None:
        await self.hookline("state", "set", "f", "k", "1")
        await self.hookline("flows", "pause", "f")
        page = json.loads(await self.hookline("audit", "--json", "--operation", "flow.pause"))
        (entry,) = page["items"]
        user = pwd.getpwuid(os.getuid()).pw_name
        assert (entry["actor"], entry["address"], entry["flow_id"]) == (f"local:{user}", None, "f")
        shown = (await self.hookline("audit", "--flow", "f", "--since", "1h")).splitlines()
        assert [line.split()[3] for line in shown] == ["operation", "flow.pause", "state.set"]
        assert "more: --cursor" in await self.hookline("audit", "--limit", "1")

    async def test_all_pages_are_exported_as_json_lines(self, harness: Harness) -> None:
        async with harness.engine() as engine:
            for number in range(450):
                actor = Actor("token", "ci" if number % 2 else "ann")
                made = audit.audited(engine.ids.new(), engine.clock.now(), actor, "key.rotate", detail=str(number))
                await engine.store.commit([made])
        lines = (await self.hookline("audit", "--export", "--operation", "key.rotate")).splitlines()
        assert [json.loads(line)["detail"] for line in lines] == [str(number) for number in reversed(range(450))]
        chosen = (await self.hookline("audit", "--export", "--actor", "token:ci")).splitlines()
        assert len(chosen) == 225
