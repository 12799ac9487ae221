"""Every error of Hookline, as a tree. A code is part of the contract: it is never renamed or reused.

HooklineError
├── ConfigError              a server setting or a command is wrong
├── PluginError              a plugin can't be used
│   ├── PluginFailed         it failed to import or to register
│   ├── DuplicateName        two plugins register the same name
│   └── UnknownHook          it implements a hook that doesn't exist
├── NoConnectors             this node has no connectors; others do
├── FlowInvalid              a flow's document is invalid; holds all problems
├── FlowNotFound             there is no such flow, or no such version of it
├── ExecutionNotFound
├── DeploymentNotFound
├── NodeNotFound
├── DraftNotFound            a flow has no draft
├── CaptureNotFound          a flow has no capture, or no such request
├── StateKeyNotFound         a flow has no value under a key
├── UnpublishedChanges       a flow's file differs from every published version
├── FolderReadOnly           the folder of the flows can't be written
├── FolderBusy               git is changing the folder of the flows
├── PollStartsAnew           a request doesn't say what a poll does with the existing items
├── IllegalStateChange       the execution's state doesn't allow a change
│   ├── DeploymentConflict   a flow isn't served by the version that was expected
│   │   └── CasesConflict    a flow doesn't have the test cases that were expected
│   ├── VersionOutdated      a flow is now served by another version, or not any more
│   ├── TokenNameTaken       a token has this name already
│   ├── TokenNotFound        there is no such token, or it was revoked already
│   ├── SignInCodeUsed       there is no such sign-in code, or it was used already
│   ├── DraftConflict        the draft of a flow isn't the one that was expected
│   ├── TooManyDrafts        there are as many drafts as are kept
│   ├── TooManyCaptures      there are as many captures as are kept
│   └── JournalIncompatible  its journal doesn't fit a version of its flow
├── RedactedUnreadable       redacted values can't be decrypted
├── NotReplayable            an execution can't be replayed
├── ProvenanceUnknown        the provenance of a value is unknown
├── ValueNotFound            an execution has no such value
├── ExpressionError
│   ├── ExpressionSyntax     it can't be compiled
│   ├── MissingValue         it names a value that doesn't exist
│   ├── ExpressionFailed     its evaluation failed
│   └── ExpressionLimit      it exceeded a limit
├── CredentialError          a credential is missing, has another type, or can't be decrypted
│   └── AuthorizationUnknown no authorization waits for this redirect
├── WorkLimit                a document or an expression exceeds its limit of time or memory
├── ComponentNotFound        there is no such component
├── NoOptions                a setting has no options
├── OptionsNotReady          the options of a setting depend on other settings
├── CannotSign               a message can't be signed as its provider would
├── StepError                an action failed; says if a retry can help
│   ├── RateLimited          the service wants fewer requests
│   ├── AuthExpired          the service rejects the credential
│   └── Unavailable          the service can't be reached, or doesn't work now
├── RequestRejected          a request started no execution; holds the HTTP status
│   ├── Malformed            400
│   ├── NotVerified          401
│   ├── TokenInvalid         401
│   ├── ScopeTooSmall        403
│   ├── NotForLimitedTokens  403
│   ├── WrongOrigin          403
│   ├── FlowUnknown          404
│   ├── TokenUnknown         404
│   ├── MethodNotAllowed     405
│   │   └── MethodUnknown
│   ├── RequestTimeout       408
│   ├── AlreadyCalled        409
│   ├── WaitOver             410
│   ├── TooLarge             413
│   ├── UnsupportedMedia     415
│   ├── WrongHost            421
│   ├── SchemaViolation      422
│   ├── InputInvalid         422
│   ├── TooManyRequests      429
│   ├── HeadTooLarge         431
│   └── ServiceUnavailable   503
│       ├── CannotVerify     the sender can't be verified now
│       └── PossiblyStored   it may be stored; that isn't known now
└── StoreError               the backend can't be read or written now
    ├── StoreAway            it can't be reached now, but may be reachable soon
    ├── StoreTooNew          it belongs to a newer release of Hookline
    └── BlobGone             a file isn't stored any more

An error's docstring is its default message.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from hookline.kernel.pointers_and_patches import Patch


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem in a document, with its place and its remedy."""

    message: str
    pointer: str = ""
    """JSON pointer (RFC 6901) into the document; the empty string is its root."""
    code: str = "invalid"
    remedy: str = ""
    severity: Literal["error", "warning", "note"] = "error"
    """A note is never counted as a problem."""
    file: str | None = None
    line: int | None = None
    """Counted from 1."""
    column: int | None = None
    """In characters, counted from 1."""
    unknown: str | None = field(default=None, kw_only=True)
    """The name or path that is written there, and doesn't exist."""
    similar: str | None = field(default=None, kw_only=True)
    """The existing name or path that was probably meant."""
    fix: tuple[Patch, ...] = field(default=(), kw_only=True, compare=False)
    """The change of the document that removes the problem; empty if it isn't clear what to change."""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        text = " ".join(part for part in (place and f"{place}:", self.pointer, self.message) if part)
        return f"{text} ({self.remedy})" if self.remedy else text


class HooklineError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    status: int = 503
    """The HTTP status of a response that tells the error."""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").partition("\n")[0]
        super().__init__(self.message)


class ConfigError(HooklineError):
    """A setting is wrong."""

    code = "config"

    def __init__(self, message: str | None = None, *, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(message)


class PluginError(HooklineError):
    """A plugin can't be used."""

    code = "plugin"


class PluginFailed(PluginError):
    """A plugin failed to load."""

    code = "plugin.failed"


class DuplicateName(PluginError):
    """Two plugins register the same name."""

    code = "plugin.duplicate"


class UnknownHook(PluginError):
    """A plugin implements a hook that doesn't exist."""

    code = "plugin.unknown_hook"


class NoConnectors(HooklineError):
    """This node has the role webhook and loads no connectors; send the request to a node with another role."""

    code = "node.no_connectors"
    status = 409


class FlowInvalid(HooklineError):
    """The flow is not valid."""

    code = "flow.invalid"
    status = 422

    def __init__(self, problems: Sequence[Problem], message: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__(message or "; ".join(str(problem) for problem in self.problems) or None)


class FlowNotFound(HooklineError):
    """There is no such flow."""

    code = "flow.not_found"
    status = 404

    def __init__(self, message: str | None = None, *, flow_id: str = "", known: Collection[str] = ()) -> None:
        """`flow_id`: the id that no flow has. `known`: the ids of the flows that may be meant instead. The message
        names none of them, since not everybody who reads it may know of them."""
        self.flow_id = flow_id
        self.known = known
        super().__init__(message)


class ExecutionNotFound(HooklineError):
    """There is no such execution."""

    code = "execution.not_found"
    status = 404


class IllegalStateChange(HooklineError):
    """The execution's state doesn't allow this."""

    code = "execution.state"
    status = 409


class DeploymentConflict(IllegalStateChange):
    """Another version of the flow was deployed since you loaded it."""

    code = "flow.conflict"
    status = 412


class CasesConflict(DeploymentConflict):
    """The flow's cases have changed since you loaded them."""

    code = "cases.conflict"


class DraftConflict(IllegalStateChange):
    """The draft has changed since you loaded it."""

    code = "draft.conflict"
    status = 412


class TooManyDrafts(IllegalStateChange):
    """No more drafts are kept: delete one."""

    code = "draft.too_many"


class TooManyCaptures(IllegalStateChange):
    """No more captures are kept: delete one."""

    code = "capture.too_many"


class VersionOutdated(IllegalStateChange):
    """The flow is now served by another version, or isn't served any more."""

    code = "flow.outdated"


class DeploymentNotFound(HooklineError):
    """There is no such deployment."""

    code = "deployment.not_found"
    status = 404


class TokenNameTaken(IllegalStateChange):
    """There is a token with this name already."""

    code = "token.name_taken"


class NodeNotFound(HooklineError):
    """There is no such node, or it is gone."""

    code = "node.not_found"
    status = 404


class TokenNotFound(IllegalStateChange):
    """There is no such token, or it was revoked already."""

    code = "token.not_found"
    status = 404


class SignInCodeUsed(IllegalStateChange):
    """There is no such sign-in code, or it was used already."""

    code = "session.code_used"


class JournalIncompatible(IllegalStateChange):
    """The journal of the execution doesn't fit that version of its flow."""

    code = "execution.does_not_fit"


class DraftNotFound(HooklineError):
    """The flow has no draft."""

    code = "draft.not_found"
    status = 404


class CaptureNotFound(HooklineError):
    """The flow has no capture, or no such captured request."""

    code = "capture.not_found"
    status = 404


class StateKeyNotFound(HooklineError):
    """The flow keeps nothing under this key."""

    code = "state.nothing"
    status = 404


class UnpublishedChanges(HooklineError):
    """The flow's file was edited and never deployed."""

    code = "flow.unpublished_changes"
    status = 409


class FolderReadOnly(HooklineError):
    """The server may not write to the folder of its flows."""

    code = "flow.folder_read_only"
    status = 409


class FolderBusy(HooklineError):
    """Git is changing the folder of the flows."""

    code = "flow.folder_busy"
    status = 409


class RedactedUnreadable(HooklineError):
    """Redacted values can't be decrypted."""

    code = "redacted.unreadable"
    status = 409


class PollStartsAnew(HooklineError):
    """The poll starts from the beginning: say whether the items that exist start executions."""

    code = "flow.poll_starts_anew"
    status = 409


class NotReplayable(HooklineError):
    """The execution can't be replayed like this."""

    code = "execution.not_replayable"
    status = 409


class ProvenanceUnknown(HooklineError):
    """The provenance of the value is unknown."""

    code = "execution.not_explained"
    status = 404


class ValueNotFound(HooklineError):
    """The execution has no such value."""

    code = "execution.no_value"
    status = 404


class ExpressionError(HooklineError):
    """An expression is wrong."""

    code = "expression"


class ExpressionSyntax(ExpressionError):
    """The expression can't be read."""

    code = "expression.syntax"


class MissingValue(ExpressionError):
    """The expression names a value that isn't there."""

    code = "expression.missing"


class ExpressionFailed(ExpressionError):
    """The expression failed."""

    code = "expression.failed"


class ExpressionLimit(ExpressionError):
    """The expression exceeded a limit."""

    code = "expression.limit"


class WorkLimit(HooklineError):
    """The work exceeds its limit of time or memory."""

    code = "work.limit"
    status = 422


class CredentialError(HooklineError):
    """The credential can't be used."""

    code = "credential"
    status = 422

    def __init__(self, message: str | None = None, *, problems: Sequence[Problem] = ()) -> None:
        """`problems`: the problems of its values, each with its pointer; they never contain a value."""
        super().__init__(message)
        self.problems = tuple(problems)


class AuthorizationUnknown(CredentialError):
    """No authorization waits for this redirect."""

    code = "credential.authorization_unknown"
    status = 404


class ComponentNotFound(HooklineError):
    """There is no such component."""

    code = "component.not_found"
    status = 404


class NoOptions(HooklineError):
    """This setting has no options to choose from."""

    code = "options.none"
    status = 404


class OptionsNotReady(HooklineError):
    """The options of this setting can't be listed yet."""

    code = "options.impossible"
    status = 422

    def __init__(self, message: str | None = None, *, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class CannotSign(HooklineError):
    """The message can't be signed as its provider would."""

    code = "sign.impossible"
    status = 422


class StepError(HooklineError):
    """The step failed."""

    code = "step.failed"
    status = 502
    """The service behind failed, and not this server."""
    helps: ClassVar[bool] = False
    """True if a retry can help, unless the instance says otherwise."""
    outcome_unknown = False
    """The constructor sets it; this is the value if a plugin's own class doesn't call that."""

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        """`retry_after`: the seconds that the service asks to wait before a retry.

        `outcome_unknown`: the request may have taken effect all the same, as after a response that never came.
        """
        super().__init__(message)
        # An instance's code replaces the class's: actions name their own failures, such as `http.404`.
        self.error_code = code or type(self).code
        self.retryable = self.helps if retryable is None else retryable
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown


class RateLimited(StepError):
    """The service asks for fewer requests."""

    code = "step.rate_limited"
    helps = True


class AuthExpired(StepError):
    """The service rejects the credential."""

    code = "step.auth_expired"


class Unavailable(StepError):
    """The service can't be reached now."""

    code = "step.unavailable"
    helps = True


class RequestRejected(HooklineError):
    """The request was rejected."""

    code = "request.rejected"
    status = 400

    def __init__(
        self,
        message: str | None = None,
        *,
        problems: Sequence[Problem] = (),
        retry_after: float | None = None,
        headers: Sequence[tuple[str, str]] = (),
        counted_as: str | None = None,
        flow_id: str | None = None,
        reason: str = "",
    ) -> None:
        """`counted_as`: the code in metrics and records, if it differs from the code in the response."""
        super().__init__(message)
        self.problems = tuple(problems)
        self.retry_after = retry_after
        self.headers = tuple(headers)
        self.counted_as = counted_as or self.code
        self.flow_id = flow_id
        """The requested flow, if it exists although it doesn't accept requests."""
        self.reason = reason
        """Details for operators that the sender must not see."""


class Malformed(RequestRejected):
    """The request can't be read."""

    code = "request.malformed"


class NotVerified(RequestRejected):
    """The sender could not be verified."""

    code = "request.not_verified"
    status = 401


class TokenInvalid(RequestRejected):
    """The request has no valid token."""

    code = "token.invalid"
    status = 401


class ScopeTooSmall(RequestRejected):
    """The scope of the token doesn't allow this."""

    code = "token.scope"
    status = 403


class NotForLimitedTokens(RequestRejected):
    """A token that is limited to some flows doesn't allow this."""

    code = "token.limited"
    status = 403


class WrongOrigin(RequestRejected):
    """The request comes from a page of another site."""

    code = "request.origin"
    status = 403


class WrongHost(RequestRejected):
    """The API isn't at this host."""

    code = "request.host"
    status = 421


class FlowUnknown(RequestRejected):
    """No flow answers here."""

    code = "request.flow_unknown"
    status = 404


class TokenUnknown(RequestRejected):
    """No step waits at this URL."""

    code = "request.token_unknown"
    status = 404


class MethodNotAllowed(RequestRejected):
    """The flow doesn't accept this method."""

    code = "request.method"
    status = 405


class MethodUnknown(MethodNotAllowed):
    """No method of that name is known here."""

    code = "request.method_unknown"

    def __init__(self) -> None:
        super().__init__(headers=[("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")])


class RequestTimeout(RequestRejected):
    """The body came too slowly."""

    code = "request.timeout"
    status = 408


class AlreadyCalled(RequestRejected):
    """Another callback came first."""

    code = "request.called_already"
    status = 409


class WaitOver(RequestRejected):
    """No step waits for this callback any more."""

    code = "request.wait_over"
    status = 410


class TooLarge(RequestRejected):
    """The body is larger than allowed."""

    code = "request.too_large"
    status = 413


class UnsupportedMedia(RequestRejected):
    """The media type isn't accepted."""

    code = "request.media_type"
    status = 415


class SchemaViolation(RequestRejected):
    """The body doesn't satisfy the flow's schema."""

    code = "request.schema"
    status = 422


class InputInvalid(RequestRejected):
    """The input doesn't fit the page of the step."""

    code = "request.input"
    status = 422


class TooManyRequests(RequestRejected):
    """There are too many requests."""

    code = "request.too_many"
    status = 429


class HeadTooLarge(RequestRejected):
    """The request's head is too large."""

    code = "request.head_too_large"
    status = 431


class ServiceUnavailable(RequestRejected):
    """The request can't be accepted now."""

    code = "request.unavailable"
    status = 503


class CannotVerify(ServiceUnavailable):
    """The sender can't be verified now."""

    code = "request.cannot_verify"
    defect: BaseException | None = None
    """The error of a scheme that has a defect."""


class PossiblyStored(ServiceUnavailable):
    """It isn't known whether the request is stored."""

    code = "request.possibly_stored"

    def __init__(self, *, retry_after: float | None) -> None:
        super().__init__(
            "it isn't known whether the request is stored. Sending it again is safe for a flow with a dedupe key, and"
            " for a callback; otherwise it may run twice",
            retry_after=retry_after,
        )


class StoreError(HooklineError):
    """The backend can't be used now."""

    code = "store"

    def __init__(self, message: str | None = None, *, in_doubt: bool = False) -> None:
        """`in_doubt`: what was to be stored may be stored nevertheless."""
        super().__init__(f"{message}; what was to be stored may be stored nevertheless" if in_doubt else message)
        self.in_doubt = in_doubt

    def for_sender(self, retry_after: float) -> ServiceUnavailable:
        """The error for a sender whose request was to be stored. The reason isn't in it: that is for operators."""
        if self.in_doubt:
            return PossiblyStored(retry_after=retry_after)
        return ServiceUnavailable("the request can't be stored now", retry_after=retry_after)


class StoreAway(StoreError):
    """The backend can't be reached now, but may be reachable soon."""

    code = "store.away"


class StoreTooNew(StoreError):
    """The backend belongs to a newer release of Hookline."""

    code = "store.too_new"


class BlobGone(StoreError):
    """The file isn't kept any more."""

    code = "store.blob_gone"

    def __init__(self, blob_id: str) -> None:
        super().__init__(
            f"there is no blob {blob_id!r}: it was never kept, or its execution ended longer ago than files are kept "
            "(the setting file_retention)"
        )
