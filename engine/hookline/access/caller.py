"""The caller of the admin API: who it is, what it may do, and which flows it sees."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from hookline.kernel.errors import FlowNotFound, NotForLimitedTokens, ScopeTooSmall
from hookline.model.access import Actor, Session, TokenScope


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller."""

    actor: Actor
    scope: TokenScope
    flows: frozenset[str] | None = None
    """The ids of the only flows that it sees; None for all."""
    token: bytes = b""
    """SHA-256 of the secret of its token."""
    expires_at: datetime | None = None
    """The expiry of its token; None if that doesn't expire."""
    session: Session | None = None
    """The session by which it was recognized; None if it sent its token."""

    def require(self, scope: TokenScope) -> None:
        """Raise ScopeTooSmall unless the caller has a scope."""
        if not self.scope.includes(scope):
            raise ScopeTooSmall(f"This needs the scope {scope}; the token has {self.scope}.")

    def require_all_flows(self) -> None:
        """Raise NotForLimitedTokens if the caller sees only some flows."""
        if self.flows is not None:
            raise NotForLimitedTokens("This concerns all flows, but the token is limited to some.")

    def sees(self, flow_id: str) -> bool:
        """Return true if the caller may know of a flow."""
        return self.flows is None or flow_id in self.flows

    def require_flow(self, flow_id: str) -> None:
        """Raise FlowNotFound if the caller may not know of a flow, as if there were none of that name."""
        if not self.sees(flow_id):
            raise FlowNotFound(f"there is no flow {flow_id!r}")

    def visible(self, flow_ids: Iterable[str]) -> list[str]:
        """Return the ids of the flows that the caller may know of, out of some."""
        return [flow_id for flow_id in flow_ids if self.sees(flow_id)]
