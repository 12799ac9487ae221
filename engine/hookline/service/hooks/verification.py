"""Verifying a request by its scheme. The result is accepted, not verified, or can't be verified now."""

import asyncio
from typing import Any, Final, Protocol

import structlog
from pydantic import BaseModel

from hookline.credentials.stored_credentials import FoundCredential
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import CannotVerify, CredentialError, NotVerified, RequestRejected
from hookline.plugin_host.plugin_calls import Containment
from hookline.sdk.schemes import Scheme, SignedRequest, Verified
from hookline.secrets.credential_reach import HostRule
from hookline.service.hooks.headers_and_masks import Masks
from hookline.sources.subscription_store import SubscriptionStore

_log: Final = structlog.get_logger("hookline.service")
_RETRY_AFTER: Final = 60.0
"""Seconds. The cause is removed by an operator or by another server."""
_SOON: Final = 5.0
"""Seconds after which a provider has returned the secret that it was creating."""
_LONGEST: Final = 60.0
"""Seconds that a scheme may take: a scheme that hangs would keep its connection open."""


class CredentialSource(Protocol):
    """A source of credentials."""

    def get(self, name: str, flow_id: str | None) -> FoundCredential:
        """Return the credential with which a flow verifies. Raises CredentialError, also if it isn't for the flow."""
        ...


class SubscriptionCredential:
    """The credential of a flow's subscription; every name gives the secret with which the provider signs."""

    __slots__ = ("error", "type", "unsettled", "value")

    def __init__(
        self, type: str, value: BaseModel | None, *, unsettled: bool = False, error: CredentialError | None = None
    ) -> None:
        """`unsettled`: the provider is creating its secret, so that a request that isn't verified now may be verified
        soon."""
        self.type = type
        self.value = value
        self.unsettled = unsettled
        self.error = error

    def get(self, name: str, flow_id: str | None) -> FoundCredential:
        if self.error is not None or self.value is None:
            raise self.error or CredentialError("there is no secret to verify by")
        return FoundCredential(self.type, self.value, HostRule(name))


class Verifier(Protocol):
    """The settings by which a sender is verified: those of a trigger or of a waiting step."""

    @property
    def scheme(self) -> Scheme[Any, Any] | None: ...
    @property
    def scheme_settings(self) -> BaseModel | None: ...
    @property
    def credential(self) -> str | None: ...


def masks_of(verifier: Verifier) -> Masks:
    """The secret parts of the requests that are verified. Raises any error of the scheme."""
    scheme, chosen = verifier.scheme, verifier.scheme_settings
    if scheme is None:
        return Masks()
    return Masks(scheme.secret_headers(chosen), scheme.secret_query(chosen), scheme.secret_fields(chosen))


class Verification:
    """The verification of one request. Every failed check gives the same NotVerified, so that it reveals nothing."""

    __slots__ = ("_check", "_contained", "_flow_id", "_scheme", "_unsettled", "masks", "reads_body")

    def __init__(
        self,
        flow_id: str,
        scheme: Scheme[Any, Any],
        verifier: Verifier,
        request: SignedRequest,
        credentials: CredentialSource,
    ) -> None:
        """Raises NotVerified if the headers alone show it, and CannotVerify."""
        self._flow_id = flow_id
        self._scheme = scheme
        self._contained = Containment(self._rejection)
        own = isinstance(credentials, SubscriptionCredential)
        self._unsettled = isinstance(credentials, SubscriptionCredential) and credentials.unsettled
        # A trigger that has subscribed names the credential of the subscription, and none for verification.
        credential = self._credential(self._scheme.name if own else verifier.credential, credentials)
        self.reads_body = scheme.reads_body
        with self._contained:
            self.masks = masks_of(verifier)
            self._check = scheme.open(request, credential, verifier.scheme_settings)

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes of the body, as received."""
        with self._contained:
            self._check.feed(chunk)

    async def finish(self) -> Verified:
        """Finish the check. Raises NotVerified or CannotVerify."""
        with self._contained:
            async with asyncio.timeout(_LONGEST):
                return await self._check.finish()

    def _credential(self, name: str | None, credentials: CredentialSource) -> BaseModel | None:
        expected = self._scheme.credential
        if expected is None:
            return None
        if name is None:
            if not self._scheme.credential_required:
                return None
            raise self._rejection(CredentialError(f"no credential is named for {self._scheme.name!r}"))
        try:
            found = credentials.get(name, self._flow_id)
        except CredentialError as error:
            raise self._rejection(error) from None
        if not isinstance(found.value, expected):
            raise self._rejection(
                CredentialError(f"credential {name!r} is of type {found.type!r}, not {self._scheme.name!r}")
            )
        return found.value

    def _rejection(self, error: BaseException) -> RequestRejected:
        """Return the rejection for an error of a scheme: NotVerified or CannotVerify."""
        if isinstance(error, NotVerified) and self._unsettled:
            error = CannotVerify(f"the provider's secret isn't known yet: {error.message}", retry_after=_SOON)
        if isinstance(error, NotVerified):
            _log.debug("a request was not verified", reason=error.message, flow=self._flow_id, scheme=self._scheme.name)
            return _because(NotVerified(), error.message)
        if isinstance(error, CannotVerify | CredentialError):
            retry_after = getattr(error, "retry_after", None) or _RETRY_AFTER
            return _because(CannotVerify(retry_after=retry_after), error.message)
        plugin = type(self._scheme).__module__.partition(".")[0]
        rejected = CannotVerify(retry_after=_RETRY_AFTER)
        rejected.defect = error
        reason = f"the scheme {self._scheme.name} of {plugin} has a defect: {type(error).__name__}"
        return _because(rejected, reason)


def _because(rejected: RequestRejected, reason: str) -> RequestRejected:
    """Set the reason that only operators see."""
    rejected.reason = reason
    return rejected


async def subscription_credential(flow: CompiledFlow, subscriptions: SubscriptionStore) -> SubscriptionCredential:
    """The credential of a flow's subscription; if there is none, the error is raised when it is used."""
    name = flow.trigger.scheme.name if flow.trigger.scheme is not None else ""
    try:
        value, unsettled = await subscriptions.verifying(flow)
    except CredentialError as error:
        return SubscriptionCredential(name, None, error=error)
    return SubscriptionCredential(name, value, unsettled=unsettled)
