"""The parameters that choose among executions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from hookline.kernel.errors import Malformed
from hookline.model.execution import Outcome, State
from hookline.operations.bulk import Chosen
from hookline.service.views.dead_letters import cause_parts

FILTERS_OF_MANY: Final = {
    "flow_id": "Only those of this flow.",
    "state": "Only those in this state.",
    "outcome": "Only those that ended like this.",
    "error_code": "Only those that failed with this code, such as `http.503`.",
    "cause": "Only dead letters of this group: see `dead-letters`.",
    "since": "Only those whose message was accepted then or later: RFC 3339.",
    "until": "Only those whose message was accepted before: RFC 3339.",
}
"""Those that also choose with which something is done."""
FILTERS: Final = {**FILTERS_OF_MANY, "replay_of": "Only those that do this execution again."}
"""Those of the list."""


def chosen_by(given: Mapping[str, str]) -> dict[str, Any]:
    """The filters of a list of executions, for the store. Raises Malformed."""
    chosen = chosen_of({name: value for name, value in given.items() if name in FILTERS_OF_MANY})
    found: dict[str, Any] = {name: getattr(chosen, name) for name in FILTERS_OF_MANY}
    return found | {"replay_of": given.get("replay_of")}


def chosen_of(given: Mapping[str, str]) -> Chosen:
    """The executions that a request means. Raises Malformed."""
    flow_id, cause = given.get("flow_id"), given.get("cause")
    if cause is not None:
        of, cause = cause_parts(cause)
        if flow_id not in (None, of):
            raise Malformed(f"The cause is one of flow {of!r}, and not of {flow_id!r}.")
        flow_id = of
    return Chosen(
        flow_id=flow_id,
        state=_member(State, given.get("state"), "state"),
        outcome=_member(Outcome, given.get("outcome"), "outcome"),
        error_code=given.get("error_code"),
        cause=cause,
        since=_time(given.get("since"), "since"),
        until=_time(given.get("until"), "until"),
    )


def _member(kind: Any, text: str | None, name: str) -> Any:
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(one.value for one in kind)
        raise Malformed(f"There is no {name} {text!r}; there are {known}.") from None


def _time(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Malformed(f"{name} is a time such as 2026-01-31T08:00:00Z, and not {text!r}.")
    return at
