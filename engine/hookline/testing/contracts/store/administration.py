"""Deployments, tokens, sessions, the audit and rejected sign-ins are stored."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from hookline.kernel.errors import (
    DeploymentConflict,
    ExecutionNotFound,
    SignInCodeUsed,
    TokenNameTaken,
    TokenNotFound,
    VersionOutdated,
)
from hookline.model.access import (
    FOLDER,
    Actor,
    AuditEntry,
    AuditFilter,
    RejectedSignIn,
    Session,
    SignInCode,
    Token,
    TokenScope,
)
from hookline.model.deployment import DeployedFlow, Deployment, FlowFile, ServedFlow
from hookline.model.execution import State
from hookline.model.message import Envelope
from hookline.storage.changes import (
    MAX_SIGN_INS_KEPT,
    Accept,
    CreateSession,
    CreateSignInCode,
    CreateToken,
    Deploy,
    DrainNode,
    EndSession,
    FilesWritten,
    ForgetAudit,
    ForgetSessions,
    KeysInUse,
    RecordAudit,
    RejectSignIns,
    ReleaseOrderKey,
    RetireKeys,
    RevokeToken,
    SetAdminToken,
    SetCases,
    Start,
    StoreCallback,
    UseKeys,
    UseSignInCode,
    WriteFiles,
)
from hookline.storage.store import SharedSecrets, Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes

_ANN = Actor("token", "ann", "192.0.2.1")


class DeploymentsContract(StoreFixtures):
    """The set of served flows is stored, and each change of it."""

    def _deployment(self, envelopes: Envelopes, *flows: DeployedFlow, **fields: Any) -> Deployment:
        told: dict[str, Any] = {"author": _ANN, "flows": flows}
        return Deployment(envelopes.ids.new(), envelopes.clock.now(), **(told | fields))

    async def test_deployments_change_the_flows_that_are_served(self, store: Store, envelopes: Envelopes) -> None:
        first = self._deployment(envelopes, DeployedFlow("a", "1"), DeployedFlow("b", "1"), message="first")
        second = self._deployment(
            envelopes, DeployedFlow("a", "2", "1"), DeployedFlow("b", None, "1"), DeployedFlow("c", "1"), author=FOLDER
        )
        await store.commit([Deploy(first)])
        await store.commit([Deploy(second)])
        assert list(await store.served_flows()) == [ServedFlow("a", "2", second.id), ServedFlow("c", "1", second.id)]
        assert await store.served_after(first.id) == {"a": "1", "b": "1"}
        assert await store.served_after(second.id) == {"a": "2", "c": "1"}
        assert await store.deployment(first.id) == first
        assert await store.deployment("nothing") is None
        third = self._deployment(envelopes, DeployedFlow("b", "1"), rollback_of=first.id)
        await store.commit([Deploy(third)])
        assert await store.served_after(third.id) == {"a": "2", "b": "1", "c": "1"}
        page = await store.deployments(limit=2)
        assert (page.items, page.next) == ((third, second), second.id)
        assert (await store.deployments(cursor=page.next)).items == (first,)
        with pytest.raises(ValueError, match="cursor"):
            await store.deployments(cursor="x")

    async def test_of_some_flows_only_their_parts_are_listed(self, store: Store, envelopes: Envelopes) -> None:
        both = self._deployment(envelopes, DeployedFlow("a", "1"), DeployedFlow("b", "1"))
        other = self._deployment(envelopes, DeployedFlow("c", "1"))
        await store.commit([Deploy(both), Deploy(other)])
        (shown,) = (await store.deployments(flows=["b", "x"])).items
        assert (shown.id, shown.flows) == (both.id, (DeployedFlow("b", "1"),))

    async def test_a_flow_that_was_changed_meanwhile_is_not_deployed(self, store: Store, envelopes: Envelopes) -> None:
        await store.commit([Deploy(self._deployment(envelopes, DeployedFlow("a", "1")))])
        entry = AuditEntry(envelopes.ids.new(), envelopes.clock.now(), _ANN, "flow.deploy", "a")
        for wrong in (DeployedFlow("a", "2", "0"), DeployedFlow("a", "2"), DeployedFlow("b", "2", "1")):
            late = self._deployment(envelopes, DeployedFlow("z", "1"), wrong)
            with pytest.raises(DeploymentConflict):
                await store.commit([RecordAudit((entry,)), Deploy(late)])
        assert [flow.flow_id for flow in await store.served_flows()] == ["a"]
        assert len((await store.deployments()).items) == 1
        assert (await store.audit()).items == ()

    @pytest.mark.cluster_rule("C12")
    async def test_an_execution_starts_only_on_the_version_that_serves(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        queued, new, last = envelopes.make(), envelopes.make(), envelopes.make()
        await store.commit([Deploy(self._deployment(envelopes, DeployedFlow("orders", "1"))), Accept(queued)])
        await store.commit([Deploy(self._deployment(envelopes, DeployedFlow("orders", "2", "1")))])

        def start(of: Envelope, version: str) -> Start:
            return Start(of.execution_id, version, now, serving=True)

        with pytest.raises(VersionOutdated):
            await store.commit([start(queued, "1")])
        with pytest.raises(VersionOutdated):
            await store.commit([Accept(new, start=start(new, "1"))])
        assert await store.execution(new.execution_id) is None
        await store.commit([start(queued, "2")])
        await store.commit([Accept(new, start=start(new, "2"))])
        for one in (queued, new):
            started = await store.execution(one.execution_id)
            assert started is not None
            assert (started.state, started.flow_version) == (State.RUNNING, "2")
        await store.commit([Deploy(self._deployment(envelopes, DeployedFlow("orders", None, "2")))])
        await store.commit([Accept(last)])
        with pytest.raises(VersionOutdated):
            await store.commit([start(last, "2")])
        # An operator replays a version of choice.
        await store.commit([Start(last.execution_id, "1", now)])

    async def test_texts_are_kept_until_they_are_written(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        old, cases = FlowFile("a", "flow", b"1", b"\0\xff"), FlowFile("a", "cases", None)
        await store.commit([WriteFiles((old, cases), now)])
        new = FlowFile("a", "flow", b"2", b"3")
        await store.commit([WriteFiles((new,), now)])
        assert list(await store.unwritten_files()) == [cases, new]
        await store.commit([FilesWritten((("a", "cases"), ("b", "flow")))])
        assert list(await store.unwritten_files()) == [new]

    async def test_the_cases_of_a_flow_are_kept_and_removed(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        await store.commit([SetCases("a", b"1", now)])
        await store.commit([SetCases("a", b"[]", now), SetCases("b", None, now)])
        assert (await store.flow_cases("a"), await store.flow_cases("b")) == (b"[]", None)
        await store.commit([SetCases("a", None, now)])
        assert await store.flow_cases("a") is None


class AccessContract(StoreFixtures):
    """Tokens, sessions and rejected sign-ins are stored."""

    def _token(self, envelopes: Envelopes, name: str, **fields: Any) -> Token:
        told: dict[str, Any] = {
            "scopes": (TokenScope.READ,),
            "created_at": envelopes.clock.now(),
            "created_by": str(_ANN),
        }
        return Token(envelopes.ids.new(), name, **(told | fields))

    async def test_a_token_is_found_by_the_digest_of_its_secret(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        wide = self._token(envelopes, "ann", scopes=(TokenScope.READ, TokenScope.ADMIN))
        narrow = self._token(envelopes, "ci", flows=("a", "ü"), expires_at=now + timedelta(days=1))
        await store.commit([CreateToken(wide, b"\0\xff"), CreateToken(narrow, b"2")])
        assert await store.token(b"\0\xff") == wide
        assert await store.token(b"2") == narrow
        assert await store.token(b"3") is None
        assert list(await store.tokens()) == [narrow, wide]
        assert await store.token_by_id(narrow.id) == narrow
        assert await store.token_by_id("nothing") is None

    @pytest.mark.cluster_rule("C13")
    async def test_the_first_node_says_which_keys_are_in_use_and_others_need_them(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        assert await store.shared_secrets() == SharedSecrets()
        assert await store.commit([UseKeys(("new", "old"), now)]) == [KeysInUse("new", ("new", "old"))]
        for ids in (("old",), ("other",)):
            (found,) = await store.commit([UseKeys(ids, now)])
            assert found == KeysInUse("new", ("new", "old"), tuple(sorted({"new", "old"} - set(ids))))
        await store.commit([RetireKeys(("new",), now)])
        assert (await store.shared_secrets()).keys == ("new",)
        assert await store.commit([UseKeys(("new",), now)]) == [KeysInUse("new", ("new", "old"))]
        # Of a store that one process uses, the first key is that of the process.
        assert await store.commit([UseKeys(("newest", "new"), now)]) == [KeysInUse("newest", ("new", "newest", "old"))]
        # All were lost.
        await store.commit([RetireKeys(("last",), now)])
        assert await store.commit([UseKeys(("last",), now)]) == [KeysInUse("last", ("last", "new", "newest", "old"))]

    @pytest.mark.cluster_rule("C13")
    async def test_the_hash_of_the_first_admin_token_is_kept(self, store: Store) -> None:
        await store.commit([SetAdminToken(b"first", first=True)])
        await store.commit([SetAdminToken(b"second", first=True)])
        assert (await store.shared_secrets()).admin_token == b"first"
        await store.commit([SetAdminToken(b"third")])
        assert (await store.shared_secrets()).admin_token == b"third"

    async def test_a_token_ends_when_it_is_revoked_and_its_name_is_free(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        first, second = self._token(envelopes, "ci"), self._token(envelopes, "ci")
        await store.commit([CreateToken(first, b"1")])
        with pytest.raises(TokenNameTaken):
            await store.commit([CreateToken(second, b"2")])
        await store.commit([RevokeToken(first.id, now)])
        for unknown in (first.id, "nothing"):
            with pytest.raises(TokenNotFound):
                await store.commit([RevokeToken(unknown, now)])
        await store.commit([CreateToken(second, b"2")])
        revoked = await store.token(b"1")
        assert revoked is not None
        assert (revoked.revoked_at, revoked.is_valid(now)) == (now, False)

    def _session(self, envelopes: Envelopes, digest: bytes, expires_at: datetime) -> Session:
        return Session(digest, envelopes.ids.new(), b"token\0\xff", envelopes.clock.now(), expires_at)

    def _code(self, envelopes: Envelopes, digest: bytes, expires_at: datetime) -> SignInCode:
        return SignInCode(digest, envelopes.ids.new(), b"token\0\xff", expires_at, expires_at + timedelta(hours=12))

    @pytest.mark.console_rule("K7")
    async def test_a_session_is_found_by_its_digest_until_it_is_ended(self, store: Store, envelopes: Envelopes) -> None:
        session = self._session(envelopes, b"\0\xff", envelopes.clock.now() + timedelta(hours=12))
        await store.commit([CreateSession(session)])
        assert await store.session(b"\0\xff") == session
        assert await store.session(b"1") is None
        for _ in range(2):
            await store.commit([EndSession(b"\0\xff")])
            assert await store.session(b"\0\xff") is None

    @pytest.mark.console_rule("K7")
    async def test_a_sign_in_code_is_used_once(self, store: Store, envelopes: Envelopes) -> None:
        later = envelopes.clock.now() + timedelta(minutes=10)
        codes = [self._code(envelopes, bytes([number]), later) for number in range(20)]
        await store.commit([CreateSignInCode(code) for code in codes])
        assert await store.sign_in_code(codes[3].digest) == codes[3]

        async def use(code: SignInCode, number: int) -> bool:
            session = self._session(envelopes, code.digest + bytes([number]), later)
            try:
                await store.commit([UseSignInCode(code.digest), CreateSession(session)])
            except SignInCodeUsed:
                return False
            return True

        used = await asyncio.gather(*(use(code, number) for code in codes for number in range(3)))
        assert used.count(True) == len(codes)
        for place, code in enumerate(codes):
            assert await store.sign_in_code(code.digest) is None
            for number in range(3):
                made = await store.session(code.digest + bytes([number])) is not None
                assert made == used[3 * place + number], "a session is made only with the code"

    @pytest.mark.console_rule("K7")
    async def test_sessions_and_codes_are_removed_once_they_have_expired(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        later = now + timedelta(seconds=1)
        assert not await store.has_expired_sessions(now)
        for number, at in enumerate((now, later)):
            await store.commit([CreateSession(self._session(envelopes, bytes([number]), at))])
            await store.commit([CreateSignInCode(self._code(envelopes, bytes([number]), at))])
        for find in (store.session, store.sign_in_code):
            assert await find(b"\0") is not None
        assert await store.has_expired_sessions(now)
        await store.commit([ForgetSessions(now)])
        for find in (store.session, store.sign_in_code):
            assert await find(b"\0") is None
            assert await find(b"\1") is not None
        assert not await store.has_expired_sessions(now)
        assert await store.has_expired_sessions(later)

    async def test_a_database_has_an_id_that_stays(self, store: Store) -> None:
        found = await store.instance_id()
        assert re.fullmatch("[0-9a-z]{8,40}", found)
        assert await store.instance_id() == found

    async def test_a_node_that_is_gone_is_asked_to_stop_in_vain(self, store: Store, envelopes: Envelopes) -> None:
        assert list(await store.commit([DrainNode("nobody.0", envelopes.clock.now())])) == [None]

    async def test_the_newest_rejected_sign_ins_are_kept(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        made = [RejectedSignIn(envelopes.ids.new(), now, "192.0.2.1", "unknown") for _ in range(MAX_SIGN_INS_KEPT + 3)]
        last = RejectedSignIn(envelopes.ids.new(), now, "", "expired", "ci\0")
        await store.commit([RejectSignIns(tuple(made[:500])), RejectSignIns(())])
        await store.commit([RejectSignIns((*made[500:], last))])
        page = await store.rejected_sign_ins(limit=2)
        assert (page.items[0].token, page.items[1], page.next) == ("ci\ufffd", made[-1], made[-1].id)
        kept = (await store.rejected_sign_ins(cursor=page.next, limit=2 * MAX_SIGN_INS_KEPT)).items
        assert kept == tuple(reversed(made[4:-1]))
        with pytest.raises(ValueError, match="cursor"):
            await store.rejected_sign_ins(cursor="x")


class AuditContract(StoreFixtures):
    """The audit is stored with the operations that it records."""

    def _entry(self, envelopes: Envelopes, operation: str, **fields: Any) -> AuditEntry:
        actor = fields.pop("actor", _ANN)
        return AuditEntry(envelopes.ids.new(), envelopes.clock.now(), actor, operation, **fields)

    async def test_entries_are_listed_newest_first_by_what_they_say(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first = self._entry(envelopes, "flow.deploy", flow_id="a", flow_version="1", detail="why\0")
        clock.advance(1)
        second = self._entry(envelopes, "token.create", subject="7", actor=Actor("local", "root"))
        third = self._entry(envelopes, "execution.retry", flow_id="b", subject="7")
        await store.commit([RecordAudit((first, second)), RecordAudit(())])
        await store.commit([RecordAudit((third,))])
        assert [one.id for one in (await store.audit()).items] == [third.id, second.id, first.id]
        page = await store.audit(limit=1)
        assert (page.items, page.next) == ((third,), third.id)
        assert (await store.audit(cursor=page.next, limit=1)).items == (second,)
        for chosen, found in (
            (AuditFilter(flows=("a", "b")), [third.id, first.id]),
            (AuditFilter(flows=()), []),
            (AuditFilter(actor="local:root"), [second.id]),
            (AuditFilter(operation="flow.deploy"), [first.id]),
            (AuditFilter(subject="7"), [third.id, second.id]),
            (AuditFilter(since=second.at), [third.id, second.id]),
            (AuditFilter(until=second.at), [first.id]),
        ):
            assert [one.id for one in (await store.audit(chosen)).items] == found
        (kept,) = (await store.audit(AuditFilter(flows=("a",)))).items
        assert (kept.actor, kept.flow_version, kept.detail) == (_ANN, "1", "why\ufffd")
        with pytest.raises(ValueError, match="cursor"):
            await store.audit(cursor="x")

    async def test_an_entry_is_there_if_and_only_if_its_operation_is(self, store: Store, envelopes: Envelopes) -> None:
        entry = self._entry(envelopes, "execution.release", subject="nothing")
        with pytest.raises(ExecutionNotFound):
            await store.commit([RecordAudit((entry,)), ReleaseOrderKey("nothing", envelopes.clock.now())])
        assert (await store.audit()).items == ()

    async def test_a_duplicate_has_no_entry(self, store: Store, envelopes: Envelopes) -> None:
        entries = [self._entry(envelopes, "flow.start") for _ in range(2)]
        for entry in entries:
            await store.commit([Accept(envelopes.make(key="k"), audit=entry)])
        assert (await store.audit()).items == (entries[0],)

    async def test_a_callback_is_recorded_once(self, store: Store, envelopes: Envelopes, clock: ManualClock) -> None:
        now, message = clock.now(), envelopes.make()
        await store.commit([Accept(message)])
        entries = [self._entry(envelopes, "execution.resume") for _ in range(2)]
        for digest, entry in zip((b"1", b"2"), entries, strict=True):
            call = StoreCallback(
                id=envelopes.ids.new(),
                execution_id=message.execution_id,
                path="w",
                flow_id=message.flow_id,
                step_id="w",
                key=None,
                digest=digest,
                at=now,
                until=None,
                payload=b"",
                audit=entry,
            )
            await store.commit([call])
        assert (await store.audit()).items == (entries[0],)

    async def test_old_entries_are_removed(self, store: Store, envelopes: Envelopes, clock: ManualClock) -> None:
        old = self._entry(envelopes, "flow.deploy")
        clock.advance(60)
        new = self._entry(envelopes, "flow.deploy")
        await store.commit([RecordAudit((old, new))])
        await store.commit([ForgetAudit(new.at)])
        assert (await store.audit()).items == (new,)
