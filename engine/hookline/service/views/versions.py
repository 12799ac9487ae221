"""Versions of flows, and where executions would go on in them."""

from collections.abc import Sequence

import msgspec

from hookline.deployments.migration import Landing
from hookline.deployments.version_history import KeptVersion
from hookline.kernel.time import rfc3339
from hookline.service.views.pages import PageView, Time


class VersionView(msgspec.Struct, frozen=True):
    """A version of a flow."""

    version: str
    created_at: Time
    """When it was first published."""
    served_at: Time
    """When it last began to serve."""
    serves: bool
    """New executions get it."""
    executions: dict[str, int]
    """How many that have not ended are bound to it, by state."""


class DocumentView(msgspec.Struct, frozen=True):
    """What a version of a flow says."""

    flow_id: str
    version: str
    document: msgspec.Raw


class LandingView(msgspec.Struct, frozen=True):
    """Where a waiting execution would go on in another version."""

    execution_id: str
    flow_version: str
    """The version that it is bound to."""
    reason: str | None
    """Why it waits."""
    fits: bool
    step: str | None
    """The path of the first step that doesn't fit."""
    problem: str | None
    """What is said against it."""
    lands: list[str]
    """The paths of the steps at which it would go on, or go on waiting; none where it would come to its end."""


class PlanView(msgspec.Struct, frozen=True):
    """Where the waiting executions of a flow would go on."""

    version: str
    """The version that they would be moved to."""
    items: list[LandingView]
    next: str | None


class RolledBack(msgspec.Struct, frozen=True):
    """A flow's file says an earlier version again."""

    flow_id: str
    version: str
    file: str


def versions_view(kept: Sequence[KeptVersion]) -> PageView[VersionView]:
    """The versions of a flow."""
    shown = [
        VersionView(
            one.version,
            rfc3339(one.created_at),
            rfc3339(one.served_at),
            one.serves,
            {state.value: count for state, count in one.executions.items()},
        )
        for one in kept
    ]
    return PageView(shown, None)


def plan_view(version: str, landings: Sequence[Landing], following: str | None) -> PlanView:
    """One page of a plan; `following` is the cursor of the next."""
    return PlanView(version, [_landing(one) for one in landings], following)


def _landing(landing: Landing) -> LandingView:
    execution, fit = landing.execution, landing.fit
    return LandingView(
        execution_id=execution.id,
        flow_version=execution.flow_version or "",
        reason=execution.reason,
        fits=fit.ok,
        step=fit.step,
        problem=fit.reason,
        lands=list(fit.lands),
    )
