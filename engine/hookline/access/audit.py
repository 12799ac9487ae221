"""Audit entries: rows in the same commit as the operations that they record."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias, TypedDict, Unpack

from hookline.model.access import Actor, AuditEntry
from hookline.storage.change_declarations import RecordAudit

AuditedOperation: TypeAlias = Literal[
    "capture.close",
    "capture.delete",
    "capture.open",
    "credential.authorize",
    "credential.delete",
    "credential.put",
    "draft.delete",
    "draft.save",
    "execution.cancel",
    "execution.discard",
    "execution.move",
    "execution.release",
    "execution.replay",
    "execution.resume",
    "execution.retry",
    "flow.cases",
    "flow.delete",
    "flow.deploy",
    "flow.pause",
    "flow.reset",
    "flow.resume",
    "flow.rollback",
    "flow.send",
    "flow.start",
    "flow.stop",
    "flow.try",
    "key.rotate",
    "node.drain",
    "poll.answer",
    "session.create",
    "session.end",
    "sign_in_link.create",
    "state.delete",
    "state.set",
    "token.create",
    "token.revoke",
]


class Recorded(NamedTuple):
    """The contents of the entries of one operation."""

    meaning: str
    subject: str
    """The thing that `subject` names; empty if the entry has none."""
    detail: str
    """The meaning of `detail`; empty if the entry has none."""
    flow: bool = True
    """The entry has a flow and its version."""


_EXECUTION: Final = "the execution"

OPERATIONS: Final[Mapping[AuditedOperation, Recorded]] = {
    "execution.retry": Recorded("A failed execution was retried.", _EXECUTION, ""),
    "execution.replay": Recorded(
        "An execution was replayed.", "the replayed execution", "the new execution, and how it differs"
    ),
    "execution.resume": Recorded("A waiting step got its callback.", _EXECUTION, "the path of the step"),
    "execution.cancel": Recorded("An execution was cancelled.", _EXECUTION, ""),
    "execution.discard": Recorded("A dead letter was discarded.", _EXECUTION, "the reason, if one was given"),
    "execution.release": Recorded("The order key of a failed execution was released.", _EXECUTION, ""),
    "execution.move": Recorded(
        "A waiting execution was moved to another version.", _EXECUTION, "the version that it had"
    ),
    "flow.start": Recorded("A flow was started by hand.", "the new execution", ""),
    "flow.send": Recorded("A message was sent to a flow, as its sender would.", "the new execution", ""),
    "flow.pause": Recorded("A flow was paused.", "", ""),
    "flow.resume": Recorded("A flow was resumed.", "", ""),
    "flow.stop": Recorded("A flow was stopped.", "", ""),
    "flow.reset": Recorded(
        "A flow got the state in its file again.", "", "why, if the engine has ended an operator's decision"
    ),
    "flow.deploy": Recorded("A version began to serve, or got another title.", "the deployment", ""),
    "flow.rollback": Recorded(
        "An earlier version began to serve again.", "the deployment", "the deployment to which the set was rolled back"
    ),
    "flow.delete": Recorded("A flow was deleted.", "the deployment", ""),
    "flow.cases": Recorded("The test cases of a flow were replaced or removed.", "", ""),
    "capture.open": Recorded("The requests to the URL of a flow were captured for 10 minutes, or for longer.", "", ""),
    "capture.close": Recorded("The requests to the URL of a flow were no longer captured.", "", ""),
    "capture.delete": Recorded("The capture of a flow was deleted, with its requests.", "", ""),
    "draft.save": Recorded(
        "The draft of a flow was begun, or saved over what somebody else had saved.", "", "over whose text, if any"
    ),
    "draft.delete": Recorded("The draft of a flow was deleted.", "", ""),
    "flow.try": Recorded("A document was tried with real effects.", "the execution, which is not stored", ""),
    "poll.answer": Recorded(
        "It was decided if the existing items of a poll that starts anew start executions.", "", "the decision"
    ),
    "state.set": Recorded("A value that a flow keeps was set.", "the key", ""),
    "state.delete": Recorded("A value that a flow keeps was deleted.", "the key", ""),
    "credential.put": Recorded("A credential was created or replaced.", "the credential", "its type", flow=False),
    "credential.delete": Recorded("A credential was deleted.", "the credential", "", flow=False),
    "credential.authorize": Recorded(
        "An authorization has given a credential its access tokens.", "the credential", "", flow=False
    ),
    "key.rotate": Recorded(
        "Values of an older key were encrypted with the first key.", "", "their kind and their number", flow=False
    ),
    "node.drain": Recorded("A node was asked to stop.", "the node's lease", "", flow=False),
    "session.create": Recorded("Somebody signed in to the console.", "the session", "how", flow=False),
    "session.end": Recorded("Somebody signed out of the console.", "the session", "", flow=False),
    "sign_in_link.create": Recorded("A sign-in link to the console was created.", "the link", "", flow=False),
    "token.create": Recorded("A token was created.", "the token", "its name and limits", flow=False),
    "token.revoke": Recorded("A token was revoked.", "the token", "its name", flow=False),
}
"""All operations that are recorded."""


class About(TypedDict, total=False):
    """The subject of an entry: see `AuditEntry`."""

    flow_id: str | None
    flow_version: str | None
    subject: str | None
    detail: str | None


def entry(entry_id: str, at: datetime, actor: Actor, operation: AuditedOperation, **about: Unpack[About]) -> AuditEntry:
    """Return the entry of an operation, for a change that adds it only if it takes effect."""
    return AuditEntry(entry_id, at, actor, operation, **about)


def audited(
    entry_id: str, at: datetime, actor: Actor, operation: AuditedOperation, **about: Unpack[About]
) -> RecordAudit:
    """Return the change that records an operation, for the commit of the operation."""
    return RecordAudit((entry(entry_id, at, actor, operation, **about),))
