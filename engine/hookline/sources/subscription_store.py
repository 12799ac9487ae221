"""The stored subscriptions of flows: encrypted in the store, and decrypted in memory while the engine runs."""

import asyncio
from collections.abc import Collection
from typing import Final

import msgspec
from pydantic import BaseModel, ValidationError

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.compiler.subscription import subscription_credential
from hookline.kernel.cancellation import shielded
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import CredentialError, StoreError
from hookline.model.sources import SubscriptionState
from hookline.secrets.encryption import Vault, for_subscription
from hookline.storage.change_declarations import SetSubscription
from hookline.storage.store import Store

_NOTHING: Final = SubscriptionState()
_decode: Final = msgspec.json.Decoder(SubscriptionState).decode


class SubscriptionStore:
    """The subscriptions of flows. Each is written only by the engine that keeps it, of all nodes that serve."""

    def __init__(self, store: Store, vault: Vault, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._states: dict[str, SubscriptionState | str] = {}
        """A text is the reason why the stored state can't be read."""
        self._kept: set[str] = set()
        """The flows whose source runs here: nobody else writes their states, so those in memory are the stored ones."""
        # Writing and remembering take place together, so that memory has what was committed last.
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Read all subscriptions. Raises StoreError. One that can't be decrypted fails only when it is used."""
        async with self._lock:
            self._states = {
                flow_id: self._opened(flow_id, value) for flow_id, value in (await self._store.subscriptions()).items()
            }

    async def keep(self, flow_id: str) -> None:
        """Read a flow's subscription, whose source runs here from now on. Raises StoreError.

        Another node may have changed it since it was read last.
        """
        async with self._lock:
            self._remember(flow_id, await self._store.subscription(flow_id))
            self._kept.add(flow_id)

    def leave(self, flow_id: str) -> None:
        """Note that the source of a flow's subscription no longer runs here, so that another node may change it."""
        self._kept.discard(flow_id)

    def _remember(self, flow_id: str, value: bytes | None) -> None:
        if value is None:
            self._states.pop(flow_id, None)
        else:
            self._states[flow_id] = self._opened(flow_id, value)

    @property
    def flows(self) -> Collection[str]:
        """The ids of the flows that have a stored subscription."""
        return tuple(self._states)

    def of(self, flow_id: str) -> SubscriptionState:
        """Return the state of a flow's subscription. Raises CredentialError if it can't be decrypted."""
        state = self._states.get(flow_id, _NOTHING)
        if isinstance(state, str):
            raise CredentialError(state)
        return state

    async def set(self, flow_id: str, state: SubscriptionState | None) -> None:
        """Make a state durable; None deletes it. Raises StoreError."""
        await shielded(self._set(flow_id, state))

    async def _set(self, flow_id: str, state: SubscriptionState | None) -> None:
        async with self._lock:
            value = (
                None
                if state is None
                else self._vault.encrypt(msgspec.json.encode(state), purpose=for_subscription(flow_id))
            )
            await self._store.commit([SetSubscription(flow_id, value, self._clock.now())])
            if state is None:
                self._states.pop(flow_id, None)
            else:
                self._states[flow_id] = state

    async def verifying(self, flow: CompiledFlow) -> tuple[BaseModel | None, bool]:
        """Return the credential that verifies a flow's requests, and True if a request that it rejects may be valid.

        That is so while the provider is making a new secret, and while the store can't tell if there is one. Raises
        CredentialError if no secret is known, and StoreError.
        """
        subscribes, scheme = flow.trigger.subscribes, flow.trigger.scheme
        if subscribes is None or scheme is None:
            raise CredentialError(f"flow {flow.id!r} has no subscription")
        known = flow.id in self._kept or await self._refreshed(flow.id)
        state = self.of(flow.id)
        secrets = state.secrets(self._clock.now())
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
            raise CredentialError(f"the secret of flow {flow.id!r} is not one for scheme {scheme.name!r}")
        return credential, not known or (state.attempt is not None and not state.attempt.secret)

    async def _refreshed(self, flow_id: str) -> bool:
        """Read the state that another node keeps. Return false if only an earlier one is known. Raises StoreError."""
        try:
            value = await self._store.subscription(flow_id)
        except StoreError:
            # With an intake queue, messages are accepted meanwhile.
            if flow_id not in self._states:
                raise
            return False
        if flow_id not in self._kept:
            self._remember(flow_id, value)
        return True

    def _opened(self, flow_id: str, value: bytes) -> SubscriptionState | str:
        try:
            return _decode(self._vault.decrypt(value, purpose=for_subscription(flow_id)))
        except CredentialError as error:
            return error.message
        except msgspec.DecodeError:
            return f"the subscription of flow {flow_id!r} was stored by another version of Hookline; upgrade to that"
