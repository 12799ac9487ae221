"""The caller of a request to the admin API, who is recognized by a token and limited to its scope and flows."""

from collections.abc import Mapping
from typing import Final

from quart import Response, current_app, g, request
from werkzeug.datastructures import Headers

from hookline.access.caller import Caller
from hookline.access.tokens import BUILT_IN, ServerToken
from hookline.engine import Engine
from hookline.kernel.errors import ExecutionNotFound, HooklineError, ServiceUnavailable, TokenInvalid
from hookline.model.access import Actor, TokenScope
from hookline.service.admin.hosts import Hosts
from hookline.service.admin.openapi import Operation, operation_of
from hookline.service.admin.requests import problem_response
from hookline.service.hooks.sender import Senders, address_text, client_of

_NO_ACCESS: Final = frozenset({401, 403, 421, 429})
_SEND: Final = "Send a token: Authorization: Bearer <token>."


def caller() -> Caller:
    """The caller of the current request."""
    found: Caller = g.caller
    return found


class Gate:
    """Admits a request if it is for this server, and if its token allows the operation."""

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
        self._hosts = hosts or Hosts()

    async def check_request(self) -> None:
        """Raise an error unless the host and the token of the current request are right."""
        # There may be several: with HTTP/2, `:authority` and `host`. None of them may be foreign.
        for host in request.headers.getlist("Host") or [""]:
            self._hosts.check(host, (request.scope.get("server") or (None,))[0])
        if self._engine.waits_for is not None:
            raise ServiceUnavailable("the server hasn't started yet: it waits for its database", retry_after=5)
        await self.check_token()

    async def check_token(self) -> None:
        """Raise an error unless the token of the current request allows the operation; its host isn't checked."""
        g.caller = by = await recognize(self._engine, self._admin_token, self._sender(), self._own)
        described = operation_of(current_app.view_functions[request.endpoint or ""])
        if described is not None:
            await resolve_alias(self._engine)
            await check_access(self._engine, by, described)

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
        response = problem_response(error)
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


def _joined(headers: Headers) -> Mapping[str, str]:
    """The headers by their names in lower case; values of the same name are joined, since proxies may send several."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


async def recognize(
    engine: Engine, admin_token: ServerToken, sender: tuple[str, str], own: Actor | None = None
) -> Caller:
    """Return the caller of the current request. Raises TokenInvalid, TooManyRequests and StoreError.

    `sender`: its address, and the name under which its host is counted.
    `own`: the actor that uses the admin token, if it isn't the token itself: the command line in its own process.
    """
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    secret = given.strip()
    address, client = sender
    # The server's own token works even if the store fails, and however many invalid tokens come from the address.
    if admin_token.accepts(secret) and kind.lower() == "bearer":
        return Caller(own or Actor("token", BUILT_IN, address or None), TokenScope.ADMIN)
    if not secret or kind.lower() != "bearer":
        raise TokenInvalid(_SEND)
    found = await engine.api_tokens.recognize(secret, address or None)
    if isinstance(found, Caller):
        return found
    reason, name = found
    engine.sign_ins.reject(client, address, reason, name)
    raise TokenInvalid(f"The token is {reason}. {_SEND}")


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
        execution = await engine.store.execution(execution_id)
        if execution is None or not by.sees(execution.flow_id):
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")


async def still_valid(engine: Engine, by: Caller) -> bool:
    """Return true if the token of a caller is still valid. Raises StoreError."""
    if by.token_id is None:
        return True
    token = await engine.store.token_by_id(by.token_id)
    return token is not None and token.is_valid(engine.clock.now())
