"""The access tokens of credentials: stored, renewed before they expire, and requested once for all users.

A renewal is a task of its own, which goes on if the step that began it is cancelled. New tokens are committed before
they are used, since a service that gives a new refresh token with each renewal rejects the old one.

A process marks the tokens before it sends the request with their refresh token. If it dies then, nobody knows whether
the service has replaced them. The process that finds the mark tries once: a service may take repeated use for theft.
"""

import asyncio
import copy
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from pydantic import BaseModel

from hookline.credentials.stored_credentials import Credentials, OAuth2Credential, token_info, unauthorized, why_lost
from hookline.credentials.token_endpoint import GrantGone, request_tokens
from hookline.credentials.token_set import TokenSet
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.cancellation import cancelled_externally
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import AuthExpired, CredentialError, StepError, StoreError, Unavailable
from hookline.kernel.logs import Log
from hookline.sdk.http_client import HttpClient
from hookline.secrets.masking import HiddenValues, secret_values
from hookline.storage.cluster import Alone, Membership

#: The time after a failed renewal in which tokens that are still valid are used without another try. After a renewal
#: that failed for good, nothing is tried in this time.
_PAUSE: Final = 5.0
#: If a new token is rejected within this time as well, the tokens are not the reason.
_REJECTED_AGAIN: Final = timedelta(seconds=60)
#: Errors without a request to the service.
_LOCAL_ERRORS: Final = frozenset({"oauth2.unauthorized", "oauth2.expired"})
#: Seconds until it is looked again if another node has got new tokens.
_LOOK: Final = 0.2
_ROUNDS: Final = 3
"""The largest number of tries of one call, after renewals or changes of the credential."""

_Failure: TypeAlias = StepError | StoreError | CredentialError


@dataclass(slots=True)
class _RejectedToken:
    """An access token that a service has rejected before its expiry."""

    token: str
    replaced_at: datetime | None = None
    """The time at which another token replaced it."""
    replacement: str | None = None


@dataclass(frozen=True, slots=True)
class _Unsaved:
    """Tokens that a service gave, and that are not stored yet."""

    value: BaseModel
    """The credential's value."""
    before: TokenSet | None
    """The tokens that they replace."""
    tokens: TokenSet


@dataclass(frozen=True, slots=True)
class _Pause:
    """A time in which a service gets no request."""

    value: BaseModel
    """The credential's value."""
    until: float
    """By the monotonic clock."""
    error: StepError
    strict: bool
    """True if the service named the time, or the error is permanent."""


class _Changed(Exception):
    """Another process has changed the tokens meanwhile."""


#: Errors after which the service can't have replaced the refresh token.
_NOT_ASKED: Final = frozenset({"oauth2.rate_limited", "oauth2.config", "http.connect", "http.egress"})


class AccessTokens:
    """The access tokens of one engine's credentials."""

    def __init__(
        self, credentials: Credentials, http: HttpClient, clock: Clock, log: Log, membership: Membership | None = None
    ) -> None:
        self._membership = membership or Alone()
        self._credentials = credentials
        self._http = http
        self._clock = clock
        self._log = log
        self._flights: dict[str, tuple[BaseModel, asyncio.Task[_Failure | None]]] = {}
        self._giving: dict[str, asyncio.Task[None]] = {}
        """The tasks that give up this node's duty to renew a credential, by the credential's name."""
        self._unsaved: dict[str, _Unsaved] = {}
        """Tokens that the store couldn't keep yet. They must not be used before."""
        self._spent: dict[str, _RejectedToken] = {}
        self._pauses: dict[str, _Pause] = {}
        self._closed = False
        self._mark = secrets.token_hex(8)

    def of(self, name: str) -> "CredentialTokens | None":
        """Return the tokens of a credential; None if its type has none, or it can't be read."""
        try:
            found = self._credentials.oauth2_credential(name)
        except CredentialError:
            return None
        return None if found is None else CredentialTokens(self, found)

    def missing(self, name: str) -> str | None:
        """Return the reason why a credential must be authorized before it can have tokens; None if it needn't be."""
        found = self._credentials.oauth2_credential(name)
        if found is None or not getattr(found.value, found.oauth2.client_id):
            return None
        info = token_info(name, found.oauth2, found.value, found.tokens, found.problem, self._clock.now())
        return info.problem if info.state in ("missing", "lost") else None

    async def get(self, name: str, rejected: str | None = None) -> str:
        """Return a valid token. See `TokenUser.access_token` for the errors."""
        renewed = False
        for _ in range(_ROUNDS):
            found = self._found(name)
            now, tokens = self._clock.now(), found.tokens
            if tokens is not None and rejected == tokens.access_token and not tokens.lost:
                self._reject(found, tokens, now)
            usable = tokens is not None and tokens.holds(now) and not self._is_spent(name, tokens)
            # A token that was just renewed is used however soon it expires.
            if usable and tokens is not None and (tokens.holds_for_a_while(now) or renewed or not tokens.renewable):
                return tokens.access_token
            failure: _Failure | None = self._paused(found) if usable else self._told_to_wait(found)
            if failure is None:
                failure = await self._renewed(found)
            renewed = failure is None
            if failure is None or self._changed(found):
                continue
            if usable and tokens is not None and isinstance(failure, StoreError | StepError) and _passes(failure):
                return tokens.access_token
            raise copy.copy(failure)
        raise Unavailable(
            f"no access token for credential {name!r}: the service's tokens have expired when they arrive, or the "
            "credential changes again and again",
            code="oauth2.unavailable",
        )

    async def close(self, seconds: float = 0.0) -> None:
        """Let renewals end within a time, and store their tokens: an unsaved refresh token is lost for good."""
        self._closed = True
        tasks = [task for _, task in self._flights.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        # A node that stops has no duties.
        for name in tuple(self._giving):
            await self._keep_duty(name)
        for name in tuple(self._unsaved):
            try:
                await self._save(name)
            except StoreError as error:
                self._log.error("new tokens can't be stored: authorize again", credential=name, error=error.message)

    def _found(self, name: str) -> OAuth2Credential:
        try:
            found = self._credentials.oauth2_credential(name)
        except CredentialError as error:
            raise StepError(error.message, code="oauth2.config") from error
        if found is None:
            raise StepError(f"credential {name!r} is of a type that no longer has OAuth 2", code="oauth2.config")
        return found

    def _changed(self, before: OAuth2Credential) -> bool:
        """True if the credential was set or authorized since."""
        now = self._found(before.name)
        return now.value is not before.value or _unmarked(now.tokens) != _unmarked(before.tokens)

    def _reject(self, found: OAuth2Credential, tokens: TokenSet, now: datetime) -> None:
        """Note that a service has rejected a token. Raises AuthExpired if another token wouldn't help."""
        if not tokens.renewable:
            # The token stays in use, since it may only lack the right for this one request.
            raise AuthExpired(
                unauthorized(found.name, "the service rejects its access token, and there is no way to renew it"),
                code="oauth2.expired",
            )
        before = self._spent.get(found.name)
        if (
            before is not None
            and before.replacement == tokens.access_token
            and before.replaced_at is not None
            and now < before.replaced_at + _REJECTED_AGAIN
        ):
            raise AuthExpired(
                f"the service rejects each token that it gives for credential {found.name!r}; check if its scopes, and "
                "the rights of the user who authorized it, allow the request",
                code="oauth2.rejected_again",
            )
        if before is None or before.token != tokens.access_token:
            self._spent[found.name] = _RejectedToken(tokens.access_token)

    def _is_spent(self, name: str, tokens: TokenSet) -> bool:
        spent = self._spent.get(name)
        return spent is not None and spent.token == tokens.access_token

    def _pause(self, found: OAuth2Credential) -> _Pause | None:
        pause = self._pauses.get(found.name)
        over = pause is None or pause.value is not found.value or self._clock.monotonic() >= pause.until
        return None if over else pause

    def _paused(self, found: OAuth2Credential) -> StepError | None:
        """Return the error of a renewal that failed a moment ago."""
        pause = self._pause(found)
        return None if pause is None else pause.error

    def _told_to_wait(self, found: OAuth2Credential) -> StepError | None:
        """Return the error of the last renewal, if the service must not be asked again so soon."""
        pause = self._pause(found)
        if pause is None or not pause.strict:
            return None
        error = copy.copy(pause.error)
        if error.retryable:
            error.retry_after = pause.until - self._clock.monotonic()
        return error

    async def _renewed(self, found: OAuth2Credential) -> _Failure | None:
        """Wait for the running renewal, or begin one; return its error."""
        flight = self._flights.get(found.name)
        if flight is None or flight[1].done() or flight[0] is not found.value:
            if self._closed:
                raise StepError("the engine is stopping", code="engine.stopping", retryable=True)
            task = asyncio.create_task(self._renew(found), name=f"tokens of {found.name}")
            flight = self._flights[found.name] = found.value, task
            task.add_done_callback(lambda done: self._landed(found.name, done))
        try:
            return await asyncio.shield(flight[1])
        except asyncio.CancelledError:
            if flight[1].cancelled() and not cancelled_externally():
                raise StepError("the engine is stopping", code="engine.stopping", retryable=True) from None
            raise

    def _landed(self, name: str, task: "asyncio.Task[_Failure | None]") -> None:
        flight = self._flights.get(name)
        if flight is not None and flight[1] is task:
            del self._flights[name]
        if not task.cancelled() and task.exception() is not None:
            self._log.error("defect while requesting tokens", credential=name, exc_info=task.exception())

    async def _renew(self, found: OAuth2Credential) -> _Failure | None:
        """Request tokens, while no other node does; return the error."""
        if not self._membership.shared:
            return await self._renew_here(found)
        try:
            await self._keep_duty(found.name)
            if await self._renewed_elsewhere(found):
                return None
            return await self._renew_here(found)
        except (StepError, StoreError) as error:
            return error
        finally:
            flight = self._flights.get(found.name)
            if flight is None or flight[1] is asyncio.current_task():
                # Also after a failure: a commit that is in doubt may have taken it.
                self._giving[found.name] = asyncio.create_task(self._give_duty(found.name), name=_duty(found.name))

    async def _renewed_elsewhere(self, found: OAuth2Credential) -> bool:
        """Return when it is for this node to request tokens, or true if another one has done so. Raises StoreError."""
        while True:
            # Also while this node is alone: another one may join before the service answers.
            mine = bool(await self._membership.take((_duty(found.name),)))
            await self._credentials.load()
            if self._changed(found):
                return True
            if mine:
                return False
            await self._clock.sleep(_LOOK)

    async def _give_duty(self, name: str) -> None:
        """Leave the renewal of a credential to other nodes. Before that, new tokens are stored: another node would
        send the refresh token that they have replaced."""
        while True:
            try:
                await self._save(name)
                await self._membership.give(_duty(name))
            except (StoreError, CredentialError):
                await self._clock.sleep(STORE_RETRY)
            else:
                return

    async def _keep_duty(self, name: str) -> None:
        """Stop giving the duty of a credential."""
        task = self._giving.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def _renew_here(self, found: OAuth2Credential) -> _Failure | None:
        name, before = found.name, found.tokens
        try:
            if await self._save(name):
                return None
            found = await self._marked(found)
            tokens = await self._request(found, before)
            self._unsaved[name] = _Unsaved(found.value, found.tokens, tokens)
            await self._save(name)
        except _Changed:
            return None
        except (StepError, StoreError, CredentialError) as error:
            if isinstance(error, StepError) and error.error_code not in _LOCAL_ERRORS:
                wait = _PAUSE if error.retry_after is None else error.retry_after
                strict = error.retry_after is not None or not error.retryable
                self._pauses[name] = _Pause(found.value, self._clock.monotonic() + wait, error, strict)
            self._log.warning("requesting an access token failed", credential=name, error=error.message)
            return error
        self._pauses.pop(name, None)
        if before is not None and self._is_spent(name, before):
            # A service that gives the same token again says that the token is valid.
            rejected = before.access_token if before.access_token != tokens.access_token else ""
            self._spent[name] = _RejectedToken(rejected, self._clock.now(), tokens.access_token)
        return None

    async def _save(self, name: str) -> bool:
        """Store unsaved tokens; return False if there are none. Raises StoreError."""
        unsaved = self._unsaved.get(name)
        if unsaved is None:
            return False
        # If the credential was set or authorized meanwhile, these tokens are dropped.
        await self._credentials.put_tokens(name, unsaved.value, unsaved.tokens, before=unsaved.before)
        if self._unsaved.get(name) is unsaved:
            del self._unsaved[name]
        return True

    async def _marked(self, found: OAuth2Credential) -> OAuth2Credential:
        """Mark the tokens if their refresh token is about to be sent. Raises _Changed and StoreError."""
        tokens = found.tokens
        if tokens is None or not tokens.renewable or tokens.refresh_token is None or tokens.renewal == self._mark:
            return found
        marked = tokens.marked(self._mark)
        if not await self._credentials.put_tokens(found.name, found.value, marked, before=tokens):
            raise _Changed
        return replace(found, tokens=marked)

    async def _request(self, found: OAuth2Credential, before: TokenSet | None) -> TokenSet:
        """Request tokens from the service; `before`: the tokens before they were marked.

        Raises StepError and StoreError.
        """
        tokens, grants = found.tokens, found.oauth2.grants_of(found.value)
        if "client_credentials" in grants and (tokens is None or tokens.grant == "client_credentials"):
            form = {"grant_type": "client_credentials"}
            if scope := found.oauth2.scopes_of(found.value):
                form["scope"] = scope
            try:
                return await self._ask(found, "client_credentials", form)
            except GrantGone as error:
                raise AuthExpired(
                    f"no access token for credential {found.name!r}: {error}", code="oauth2.client"
                ) from None
        if tokens is None:
            raise AuthExpired(unauthorized(found.name, found.problem), code="oauth2.unauthorized")
        if tokens.lost or tokens.refresh_token is None:
            raise AuthExpired(unauthorized(found.name, why_lost(tokens)), code="oauth2.expired")
        try:
            return await self._ask(
                found, tokens.grant, {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
            )
        except GrantGone as gone:
            return await self._lost(found, tokens, str(gone))
        except StepError as error:
            if before is None or before.renewal in (None, self._mark) or error.error_code in _NOT_ASKED:
                raise
            why = f"another process ended while it renewed them, and the one further try failed: {error.message}"
            return await self._lost(found, tokens, why)

    async def _ask(self, found: OAuth2Credential, grant: str, form: dict[str, str]) -> TokenSet:
        return await request_tokens(self._http, self._clock, found, grant, form)

    async def _lost(self, found: OAuth2Credential, tokens: TokenSet, why: str) -> TokenSet:
        """Return the tokens that another process has stored meanwhile. Raises AuthExpired if there are none."""
        await self._credentials.load()
        stored = self._found(found.name)
        if stored.tokens is not None and stored.tokens.access_token != tokens.access_token:
            return stored.tokens
        why = f"its tokens can't be renewed: {why}"
        await self._credentials.put_tokens(found.name, found.value, tokens.without_hope(why), before=tokens)
        raise AuthExpired(unauthorized(found.name, why), code="oauth2.expired")


def _duty(name: str) -> str:
    """The duty of the node that renews the tokens of a credential."""
    return f"tokens of {name}"


def _unmarked(tokens: TokenSet | None) -> TokenSet | None:
    return None if tokens is None else replace(tokens, renewal=None)


def _passes(failure: StepError | StoreError) -> bool:
    """True if trying again can help."""
    return isinstance(failure, StoreError) or failure.retryable


class CredentialTokens:
    """The tokens of one credential. It remembers them, so that messages about their use can hide them."""

    __slots__ = ("_name", "_tokens", "hidden")

    def __init__(self, tokens: AccessTokens, found: OAuth2Credential) -> None:
        self._tokens = tokens
        self._name = found.name
        self.hidden = HiddenValues(secret_values(found.value))
        """The credential's secrets, and each token that was used."""

    async def access_token(self, rejected: str | None = None) -> str:
        """See `TokenUser.access_token`."""
        token = await self._tokens.get(self._name, rejected)
        self.hidden.add(token)
        return token


def hidden_of(credential: BaseModel | None, tokens: CredentialTokens | None) -> HiddenValues:
    """Return the secrets of a credential, and of its present and future tokens, that no log and no error may show."""
    if tokens is not None:
        return tokens.hidden
    return HiddenValues() if credential is None else HiddenValues(secret_values(credential))
