"""By what the requests of a flow are verified that has subscribed with its provider: a secret that no flow names."""

from typing import Protocol

from pydantic import BaseModel

from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.errors import CredentialError
from hookline.service.hooks.verification import SubscriptionCredential


class SubscriptionSecrets(Protocol):
    """What is known of subscriptions: `hookline.sources.subscription_store`."""

    async def verifying(self, flow: CompiledFlow) -> tuple[BaseModel | None, bool]:
        """The credential, and whether one that doesn't hold may hold soon. Raises CredentialError and StoreError."""
        ...


async def subscribed(flow: CompiledFlow, secrets: SubscriptionSecrets) -> SubscriptionCredential:
    """The credential of a flow's subscription; where there is none, it says why once it is asked for."""
    name = flow.trigger.scheme.name if flow.trigger.scheme is not None else ""
    try:
        value, unsettled = await secrets.verifying(flow)
    except CredentialError as error:
        return SubscriptionCredential(name, None, error=error)
    return SubscriptionCredential(name, value, unsettled=unsettled)
