"""Tokens, sessions and rejected sign-ins are stored."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from hookline.kernel.errors import SignInCodeUsed, TokenNameTaken, TokenNotFound
from hookline.model.access import Actor, RejectedSignIn, Session, SignInCode, Token, TokenScope
from hookline.storage.change_declarations import (
    MAX_SIGN_INS_KEPT,
    CreateSession,
    CreateSignInCode,
    CreateToken,
    DrainNode,
    EndSession,
    ForgetSessions,
    KeysInUse,
    RejectSignIns,
    RetireKeys,
    RevokeToken,
    SetAdminToken,
    UseKeys,
    UseSignInCode,
)
from hookline.storage.store import SharedSecrets, Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes

_ANN = Actor("token", "ann", "192.0.2.1")


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
