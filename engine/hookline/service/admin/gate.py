"""The gate of the admin API: it recognizes the caller of a request by a token or by the cookie of a session, and limits
the caller to the scope and the flows of the token."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final, NoReturn

from quart import Response, current_app, g, request
from werkzeug.datastructures import Headers

from hookline.access.caller import Caller
from hookline.access.tokens import BUILT_IN, Invalid, ServerToken, digest
from hookline.engine import Engine
from hookline.kernel.errors import (
    ExecutionNotFound,
    FlowNotFound,
    HooklineError,
    ServiceUnavailable,
    SignInCodeUsed,
    TokenInvalid,
)
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.model.access import Actor, Session, SignInCode, TokenScope
from hookline.service.admin.hosts import Hosts
from hookline.service.admin.openapi import Operation, operation_of
from hookline.service.admin.responses import problem_response
from hookline.service.hooks.sender import Senders, address_text, client_of

_NO_ACCESS: Final = frozenset({401, 403, 421, 429})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SEND: Final = "Send a token: Authorization: Bearer <token>."


def caller() -> Caller:
    """The caller of the current request."""
    found: Caller = g.caller
    return found


class Gate:
    """Admits a request if it is for this server, and if its token or its session allows the operation."""

    def __init__(
        self,
        engine: Engine,
        admin_token: ServerToken,
        own: Actor | None = None,
        hosts: Hosts | None = None,
        senders: Senders | None = None,
    ) -> None:
        """`admin_token`: the server's own. `own`: the actor that uses it, if that isn't the token itself. `senders`
        finds the addresses behind trusted proxies."""
        self._senders = senders or Senders()
        self._engine = engine
        self._admin_token = admin_token
        self._own = own
        self.hosts = hosts or Hosts()

    async def check_request(self) -> None:
        """Raise an error unless the host and the token of the current request are right."""
        self.hosts.check_request(request)
        if self._engine.waits_for is not None:
            raise ServiceUnavailable(
                "the server hasn't started yet: it waits for its database or intake queue", retry_after=5
            )
        await self.check_token()

    async def check_token(self) -> None:
        """Raise an error unless the token or the session of the current request allows the operation; its host isn't
        checked."""
        described = operation_of(current_app.view_functions[request.endpoint or ""])
        if described is not None and described.open:
            return
        g.caller = by = await self._recognize()
        if described is not None:
            await resolve_alias(self._engine)
            await check_access(self._engine, by, described)

    async def _recognize(self) -> Caller:
        """Return the caller of the current request. Raises TokenInvalid, WrongOrigin, TooManyRequests and StoreError.

        A proxy may ask for a user and a password, so another `Authorization` than that with a token doesn't count.
        """
        kind, _, secret = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer" and secret.strip():
            return await self.with_token(secret.strip())
        # If there are several, somebody else has set one, such as another server on this host.
        cookies = request.cookies.getlist(self.cookie)
        if len(cookies) != 1:
            raise TokenInvalid(_SEND)
        if request.method not in _SAFE:
            self.hosts.check_origin(request.headers.getlist("Origin"))
        session = await self._engine.sessions.recognize(digest(cookies[0]))
        if not isinstance(session, Session):
            self._reject("session", session)
        return replace(await self._holder(session.token, "session"), session=session)

    async def with_token(self, secret: str) -> Caller:
        """Return the caller with a token. Raises TokenInvalid, TooManyRequests and StoreError."""
        return await self._holder(digest(secret), "token")

    async def sign_in(self, code: str) -> tuple[Session, str, Caller]:
        """Begin a session with a sign-in code; return it with its secret and the caller.

        Raises TokenInvalid, TooManyRequests and StoreError.
        """
        found = await self._engine.sessions.recognize_code(digest(code))
        if not isinstance(found, SignInCode):
            self._reject("sign-in code", found)
        by = await self._holder(found.token, "sign-in code")
        try:
            session, secret = await self._engine.sessions.begin(by, found)
        except SignInCodeUsed:
            self._reject("sign-in code", "unknown")
        return session, secret, by

    async def still_valid(self, by: Caller) -> bool:
        """Return true if the token of a caller is still valid, and its session. Raises StoreError."""
        if by.session is not None and not isinstance(await self._engine.sessions.recognize(by.session.digest), Session):
            return False
        return isinstance(await self._find(by.token, by.actor.address), Caller)

    async def _find(self, token: bytes, address: str | None) -> Caller | tuple[Invalid, str | None]:
        """Return the caller with the token whose secret has this SHA-256, or why it is invalid, with its name."""
        # The server's own token works even if the store fails, and however many invalid tokens come from the address.
        if self._admin_token.accepts(token):
            return Caller(self._own or Actor("token", BUILT_IN, address), TokenScope.ADMIN, token=token)
        return await self._engine.api_tokens.recognize(token, address)

    async def _holder(self, token: bytes, shown: str) -> Caller:
        """Return the caller with a token; `shown`: what the request has shown for it."""
        found = await self._find(token, self._sender()[0] or None)
        if not isinstance(found, Caller):
            self._reject(shown, *found)
        return found

    def _reject(self, shown: str, reason: Invalid, token: str | None = None) -> NoReturn:
        """Count and record a failed sign-in, and raise TokenInvalid or TooManyRequests."""
        address, client = self._sender()
        self._engine.sign_ins.reject(client, address, reason, token)
        raise TokenInvalid(f"The {shown} is {reason}. {_SEND}")

    def check_own_page(self) -> None:
        """Raise WrongOrigin if the current request comes from a page of another site. Only browsers tell."""
        if origins := request.headers.getlist("Origin"):
            self.hosts.check_origin(origins)

    def set_cookie(self, response: Response, secret: str, lifetime: timedelta) -> None:
        """Let a response set the cookie of a session; a lifetime of 0 removes it."""
        response.set_cookie(
            self.cookie,
            secret,
            max_age=lifetime,
            path="/api/v1",
            secure=self.hosts.admin_url.startswith("https:"),
            httponly=True,
            samesite="Strict",
        )

    @property
    def cookie(self) -> str:
        """The name of the cookies of sessions: servers on other ports of the same host get them, too."""
        return f"hookline-{self._engine.instance_id}"

    def _sender(self) -> tuple[str, str]:
        """The address from which the current request came, and the name under which its host is counted.

        Both are empty if the connection has no address.
        """
        address = self._senders.address(request.remote_addr, _joined(request.headers))
        if address is None:
            return request.remote_addr or "", request.remote_addr or ""
        return address_text(address), client_of(address)

    async def respond(self, error: HooklineError) -> Response:
        """The response to an error. Requests that aren't admitted are counted and logged."""
        response = problem_response(_with_meant_flow(error) if isinstance(error, FlowNotFound) else error)
        if response.status_code in _NO_ACCESS:
            self._engine.metrics.admin_rejected(response.status_code)
            self._engine.log.info(
                "a request to the API was rejected",
                status=response.status_code,
                address=self._sender()[0],
                code=error.code,
                path=request.path,
            )
        return response


def _with_meant_flow(error: FlowNotFound) -> FlowNotFound:
    """Add the flow that was probably meant to an error, if the caller may know of it."""
    near = did_you_mean(error.flow_id, caller().visible(error.known)) if error.known else ""
    return FlowNotFound(f"{error.message} ({near})") if near else error


def _joined(headers: Headers) -> Mapping[str, str]:
    """The headers by their names in lower case; values of the same name are joined, since proxies may send several."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


async def resolve_alias(engine: Engine) -> None:
    """Let a request for an alias be one for the execution that it means: see `KeepAlias`."""
    named = request.view_args or {}
    execution_id = named.get("execution_id")
    if execution_id is not None:
        named["execution_id"] = await engine.store.aliased(execution_id) or execution_id


async def check_access(engine: Engine, by: Caller, operation: Operation) -> None:
    """Raise an error unless a caller may do the operation of the current request.

    Flows that a limited token doesn't see, and their executions, don't exist for it.
    """
    by.require(operation.scope)
    if operation.all_flows:
        by.require_all_flows()
    if operation.connectors:
        engine.registry.require_connectors()
    if by.flows is None:
        return
    named = request.view_args or {}
    asked = request.args.getlist("flow_id") if any(one.name == "flow_id" for one in operation.query) else []
    for flow_id in (named.get("flow_id"), *asked):
        if flow_id is not None:
            by.require_flow(flow_id)
    execution_id = named.get("execution_id")
    if execution_id is not None:
        await require_visible(engine, by, execution_id)


async def require_visible(engine: Engine, by: Caller, execution_id: str) -> None:
    """Raise ExecutionNotFound if there is no such execution, or the caller doesn't see its flow."""
    execution = await engine.store.execution(execution_id)
    if execution is None or not by.sees(execution.flow_id):
        raise ExecutionNotFound(f"there is no execution {execution_id!r}")
