"""Credentials are kept."""

from hookline.ports import DropCredential, PutCredential, Store
from hookline.testing.clock import ManualClock
from hookline.testing.contract_store.store_fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class CredentialsContract(StoreFixtures):
    """Credentials are kept."""

    async def test_credentials_are_made_replaced_and_removed(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        await store.commit(
            [PutCredential("b", "github", b"1", clock.now()), PutCredential("a", "sql", b"2", clock.now())]
        )
        clock.advance(1)
        await store.commit(
            [PutCredential("b", "hmac", b"\0\xff", clock.now()), PutCredential("b", "hmac", b"4", clock.now())]
        )
        stored = {kept.name: kept for kept in await store.credentials()}
        assert set(stored) == {"a", "b"}
        assert (stored["b"].type, stored["b"].ciphertext, stored["b"].updated_at) == ("hmac", b"4", clock.now())
        await store.commit([DropCredential("b"), DropCredential("nobody")])
        assert [kept.name for kept in await store.credentials()] == ["a"]
