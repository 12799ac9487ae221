"""The credential of one call of a plugin, and the parts of its context that keep it from other flows and hosts."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from hookline.credentials.access_tokens import AccessTokens, CredentialTokens, hidden_of
from hookline.credentials.stored_credentials import FoundCredential
from hookline.kernel.errors import CredentialError
from hookline.plugin_host.engine_facades import BoundClient, BoundResources
from hookline.sdk.context_parts import Resources
from hookline.sdk.http_client import HttpClient
from hookline.secrets.credential_reach import HostRule
from hookline.secrets.masking import HiddenValues


class CredentialLookup(Protocol):
    """Look up credentials."""

    def get(self, name: str, flow_id: str | None) -> FoundCredential:
        """Return the credential that a flow uses; None stands for an operator, who uses it for no flow.

        Raises CredentialError, also if it isn't for the flow.
        """
        ...


class CredentialTaker(Protocol):
    """An action or a trigger."""

    @property
    def name(self) -> str: ...
    @property
    def credential_types(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class UsedCredential:
    """The parts of a context that depend on its credential; without one, the engine's own client and resources."""

    http: HttpClient
    """Sends to no host to which the credential may not be sent."""
    resources: Resources
    """Connect to no such host."""
    value: Any = field(default=None, repr=False)
    type: str | None = None
    tokens: CredentialTokens | None = None
    """The source of its access tokens, if its type has OAuth 2."""
    hidden: HiddenValues = field(default_factory=HiddenValues)
    """The secrets that no log and no error may show."""
    hosts: HostRule | None = None
    """The hosts to which it may be sent."""


@dataclass(frozen=True, slots=True)
class CredentialAccess:
    """The one way to use a credential: with its flows and its hosts."""

    credentials: CredentialLookup
    http: HttpClient
    resources: Resources
    tokens: AccessTokens | None = None
    """Gives access tokens; None in simulations."""

    def of(self, name: str | None, taker: CredentialTaker, *, flow_id: str | None) -> UsedCredential:
        """Return what a call for a flow gets of a credential. Raises CredentialError.

        `taker` is the action or the trigger that is called. `flow_id` is None for an operator's call without a flow.
        """
        if name is None:
            return UsedCredential(self.http, self.resources)
        found = self.credentials.get(name, flow_id)
        if found.type not in taker.credential_types:
            wanted = " or ".join(taker.credential_types) or "none"
            raise CredentialError(f"credential {name!r} is of type {found.type}; {taker.name} takes {wanted}")
        return self.bound(name, found)

    def bound(self, name: str, found: FoundCredential) -> UsedCredential:
        """Return what a call gets of a credential that was found."""
        tokens = None if self.tokens is None else self.tokens.of(name)
        return UsedCredential(
            BoundClient(self.http, found.hosts),
            BoundResources(self.resources, found.hosts),
            found.value,
            found.type,
            tokens,
            hidden_of(found.value, tokens),
            found.hosts,
        )
