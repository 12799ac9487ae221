"""What flows are subscribed to, as the store keeps it: encrypted, and in memory while the engine runs."""

import asyncio
from collections.abc import Collection
from typing import Final

import msgspec
from pydantic import BaseModel, ValidationError

from hookline.flows.compiler.compiled import CompiledFlow
from hookline.flows.compiler.subscription import subscription_credential
from hookline.kernel.cancellation import shielded
from hookline.kernel.errors import CredentialError
from hookline.kernel.time import Clock
from hookline.model.sources import KeptSubscription
from hookline.secrets.vault import Vault, for_subscription
from hookline.storage.changes import SetSubscription
from hookline.storage.store import Store

_NOTHING: Final = KeptSubscription()
_kept: Final = msgspec.json.Decoder(KeptSubscription)


class Subscriptions:
    """What is kept of each flow's subscription. One for each engine; it alone writes."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, *, elsewhere: bool = False) -> None:
        """`elsewhere`: it is another process that subscribes, so that memory may be behind."""
        self._store = store
        self._vault = vault
        self._clock = clock
        self._elsewhere = elsewhere
        self._held: dict[str, KeptSubscription | str] = {}
        """A text says why what is stored can't be read."""
        # What is in memory is what was committed last.
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Read what is stored. Raises StoreError. What can't be decrypted stands in the way of nothing but its use."""
        async with self._lock:
            self._held = {
                flow_id: self._opened(flow_id, value) for flow_id, value in (await self._store.subscriptions()).items()
            }

    @property
    def flows(self) -> Collection[str]:
        """The ids of the flows of which something is kept."""
        return tuple(self._held)

    def of(self, flow_id: str) -> KeptSubscription:
        """What is kept of a flow. Raises CredentialError where it can't be decrypted."""
        held = self._held.get(flow_id, _NOTHING)
        if isinstance(held, str):
            raise CredentialError(held)
        return held

    async def keep(self, flow_id: str, kept: KeptSubscription | None) -> None:
        """Make durable what is so now; None: there is nothing any more. Raises StoreError."""
        await shielded(self._keep(flow_id, kept))

    async def _keep(self, flow_id: str, kept: KeptSubscription | None) -> None:
        async with self._lock:
            value = (
                None
                if kept is None
                else self._vault.encrypt(msgspec.json.encode(kept), purpose=for_subscription(flow_id))
            )
            await self._store.commit([SetSubscription(flow_id, value, self._clock.now())])
            if kept is None:
                self._held.pop(flow_id, None)
            else:
                self._held[flow_id] = kept

    async def verifying(self, flow: CompiledFlow) -> tuple[BaseModel | None, bool]:
        """The credential by which a flow's requests are verified, and whether one that doesn't hold may hold soon.

        The latter where the provider is just making the secret, and hasn't told it. Raises CredentialError where no
        secret is known, and StoreError.
        """
        subscribes, scheme = flow.trigger.subscribes, flow.trigger.scheme
        if subscribes is None or scheme is None:
            raise CredentialError(f"flow {flow.id!r} subscribes to nothing")
        if self._elsewhere:
            value = await self._store.subscription(flow.id)
            opened = _NOTHING if value is None else self._opened(flow.id, value)
            if isinstance(opened, str):
                raise CredentialError(opened)
            kept = opened
        else:
            kept = self.of(flow.id)
        secrets = kept.secrets(self._clock.now())
        if scheme.credential is None:
            return None, False
        if not secrets:
            raise CredentialError(f"flow {flow.id!r} is not subscribed yet: there is no secret to verify by")
        try:
            credential = subscription_credential(subscribes.trigger, scheme, secrets)
        except ValidationError:
            credential = None
        if credential is None:
            # Outside the handler, since pydantic's error holds the secret.
            raise CredentialError(f"the secret of flow {flow.id!r} is none for scheme {scheme.name!r}")
        return credential, kept.begun is not None and not kept.begun.secret

    def _opened(self, flow_id: str, value: bytes) -> KeptSubscription | str:
        try:
            return _kept.decode(self._vault.decrypt(value, purpose=for_subscription(flow_id)))
        except CredentialError as error:
            return error.message
        except msgspec.DecodeError:
            return f"the subscription of flow {flow_id!r} was stored by another version of Hookline; upgrade to that"
