"""The credential with which a flow's trigger polls, listens or subscribes."""

from dataclasses import dataclass, field
from typing import Any

from hookline.credentials.tokens import CredentialTokens, hidden_of
from hookline.executions.services import Services
from hookline.kernel.errors import CredentialError
from hookline.sdk.triggers import ConnectorTrigger
from hookline.secrets.masking import HiddenValues


@dataclass(frozen=True, slots=True)
class TriggerCredential:
    """What a trigger's function is given of it; nothing where the flow names none."""

    value: Any = None
    type: str | None = None
    tokens: CredentialTokens | None = None
    """What gives it access tokens, where its type has OAuth 2."""
    hidden: HiddenValues = field(default_factory=HiddenValues)
    """What no log and no error may show of it."""


def credential_of(services: Services, trigger: ConnectorTrigger, name: str | None) -> TriggerCredential:
    """Raises HooklineError where it is missing, can't be used, or is of another type."""
    if name is None:
        return TriggerCredential()
    kind, value = services.secrets.get(name)
    if kind not in trigger.credential_types:
        wanted = " or ".join(trigger.credential_types)
        raise CredentialError(f"credential {name!r} is of type {kind}; {trigger.name} takes {wanted}")
    tokens = None if services.tokens is None else services.tokens.of(name)
    return TriggerCredential(value, kind, tokens, hidden_of(value, tokens))
