"""The keys on which the nodes of a database agree: those that encrypt what is stored, and the one that encrypts now."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from hookline.access.audit import audited
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import ConfigError, CredentialError, StoreError
from hookline.kernel.ids import Ids
from hookline.kernel.logs import Log
from hookline.kernel.suggestions_and_counts import counted
from hookline.model.access import Actor
from hookline.secrets.encryption import Vault
from hookline.secrets.resume_tokens import ResumeTokens
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import KeysInUse, RetireKeys, UseKeys
from hookline.storage.cluster import NodeDescription
from hookline.storage.store import Store

_NAMED: Final = 10
"""The most names of one kind in the error."""
_AGAIN: Final = 5.0
"""Seconds until the next try to make a key the first one."""
_REMEDY: Final = (
    "Set HOOKLINE_SECRET_KEY as on the nodes that have the key, or put the file secret.key of the first node beside "
    "the database. If the key is lost for good, run `hookline credentials new-key`: what it has encrypted stays "
    "unreadable, and the credentials have to be set again"
)


class DatabaseKeys:
    """The use of the database's keys by one node."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        tokens: ResumeTokens,
        clock: Clock,
        log: Log,
        keep_new: Callable[[], None] | None = None,
        drop_new: Callable[[], None] = lambda: None,
    ) -> None:
        """`keep_new` stores the vault's only key, if that was made for this node, and `drop_new` removes it again."""
        self._store = store
        self._vault = vault
        self._tokens = tokens
        self._clock = clock
        self._log = log
        self._keep_new = keep_new
        self._drop_new = drop_new
        self.without: Sequence[str] = ()
        """The names of the nodes because of which the first key of the settings isn't the first key yet."""

    async def join(self, *, command: bool = False) -> None:
        """Use the keys of the database; a key that was just made is kept only if the database has none.

        A `command` may go on without a key that is in use, and encrypts nothing then. Raises CredentialError if this
        node lacks a key that is in use, and StoreError.
        """
        try:
            await self._join()
        except KeyLacking as error:
            if not command:
                raise
            self._vault.encrypt_nothing(error.message)

    async def _join(self) -> None:
        if self._keep_new is None:
            await self.refresh()
            return
        await check_new_key(self._store)
        in_use = (await self._store.shared_secrets()).keys
        # After a commit in doubt, it has this key already.
        if lacking := [one for one in in_use if one not in self._vault.ids]:
            raise KeyLacking(lacking)
        self._keep_new()
        try:
            await self.refresh()
        except CredentialError:
            # Another node was first, at the same moment.
            self._drop_new()
            raise
        self._keep_new = None

    async def refresh(self) -> None:
        """Note which keys this node has, and encrypt with the first key of the database.

        Raises CredentialError if this node lacks a key that is in use, and StoreError.
        """
        (found,) = await self._store.commit([UseKeys(self._vault.ids, self._clock.now())])
        assert isinstance(found, KeysInUse)  # noqa: S101 - the change has no other result
        if found.missing:
            raise KeyLacking(found.missing)
        self._vault.encrypt_with(found.first)
        self._tokens.known = frozenset(found.known)
        self.without = found.without

    async def follow(self) -> None:
        """Make the first key of the settings the first key of the database, once all nodes have it."""
        told: Sequence[str] = ()
        while True:
            if self.without and self.without != told:
                self._log.warning("a new key isn't the first one yet: nodes don't have it", nodes=list(self.without))
            told = self.without
            await asyncio.sleep(_AGAIN)  # other nodes don't follow the engine's clock
            if not self.without:
                continue
            try:
                await self.refresh()
            except (StoreError, CredentialError) as error:
                self._log.warning("the keys of the database can't be read", error=error.message)


class KeyLacking(CredentialError):
    """This process lacks a key that is in use."""

    code = CredentialError.code

    def __init__(self, ids: Sequence[str]) -> None:
        which = counted(len(ids), "key")
        super().__init__(f"this node lacks {which} that encrypts what is stored ({_names(ids)}). {_REMEDY}")


async def give_up_other_keys(backend: Backend, keep: Sequence[str], clock: Clock, *, by: Actor) -> None:
    """Let the database of a backend, which isn't open, need no other keys than these. `by` is recorded.

    Raises ConfigError if nodes serve it, since they have its keys, and StoreError.
    """
    await backend.open(NodeDescription(role="command"))
    try:
        others = [node for node in await backend.membership.nodes() if node.role != "command" and node.gone_at is None]
        now = clock.now()
        if serving := sorted(node.name for node in others if node.until > now):
            raise ConfigError(
                f"nodes serve the database and have its keys ({', '.join(serving)}): take the key from one of them; if "
                "it is lost nevertheless, stop them"
            )
        entry = audited(Ids(clock).new(), now, by, "key.rotate", detail="the other keys were given up")
        await backend.store.commit([RetireKeys(tuple(keep), now), entry])
    finally:
        await backend.close()


async def check_new_key(store: Store) -> None:
    """Raise CredentialError if anything is stored that only another key can decrypt; and StoreError."""
    lost: list[str] = []
    if credentials := [stored.name for stored in await store.credentials()]:
        lost.append(f"{counted(len(credentials), 'credential')} ({_names(credentials)})")
    if subscriptions := sorted(await store.subscriptions()):
        lost.append(f"the subscriptions of {counted(len(subscriptions), 'flow')} ({_names(subscriptions)})")
    if redacted := [execution_id for execution_id, _ in await store.data_keys("", _NAMED + 1)]:
        lost.append(f"the redacted values of executions ({_names(redacted)})")
    if lost:
        raise CredentialError(
            "the key that encrypts credentials and redacted values is missing, and without it these can't be read: "
            f"{'; '.join(lost)}. {_REMEDY}"
        )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
