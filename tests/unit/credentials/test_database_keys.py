"""A node takes part in the keys of its database, also if a commit of it was in doubt."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from hookline.credentials.database_keys import DatabaseKeys
from hookline.kernel.errors import StoreAway
from hookline.secrets.encryption import Vault, generate_key, read_keys
from hookline.secrets.resume_tokens import ResumeTokens
from hookline.storage.change_declarations import KeysInUse, UseKeys
from hookline.storage.store import SharedSecrets, Store
from hookline.testing.clock import ManualClock


class _InDoubt:
    """A store that keeps the first keys, and doesn't say so the first time."""

    def __init__(self) -> None:
        self.keys: tuple[str, ...] = ()
        self.told = False

    async def credentials(self) -> Sequence[Any]:
        return ()

    async def subscriptions(self) -> Sequence[Any]:
        return ()

    async def data_keys(self, _after: str, _limit: int) -> Sequence[Any]:
        return ()

    async def shared_secrets(self) -> SharedSecrets:
        return SharedSecrets(keys=self.keys)

    async def commit(self, changes: Sequence[Any]) -> Sequence[KeysInUse]:
        (change,) = changes
        assert isinstance(change, UseKeys)
        self.keys = tuple(change.ids)
        if not self.told:
            self.told = True
            raise StoreAway("nobody knows whether it is stored")
        return [KeysInUse(self.keys[0], self.keys, ())]


@pytest.mark.cluster_rule("C13")
async def test_a_node_that_made_the_first_key_and_was_not_told_starts_with_it() -> None:
    keys, kept = read_keys(generate_key()), list[str]()
    vault = Vault(keys)
    store = cast(Store, _InDoubt())
    joining = DatabaseKeys(
        store, vault, ResumeTokens(keys, vault), ManualClock(), cast(Any, None), lambda: kept.append("kept")
    )
    with pytest.raises(StoreAway):
        await joining.join()
    await joining.join()
    assert kept == ["kept", "kept"]
