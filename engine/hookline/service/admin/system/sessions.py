"""The admin API's routes for signing in to the console and out of it, and for sign-in links."""

from datetime import timedelta

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import (
    ExecutionNotFound,
    Malformed,
    StoreError,
    TokenInvalid,
    TooManyRequests,
    WrongHost,
    WrongOrigin,
)
from hookline.service.admin.gate import Gate, caller, require_visible
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import ExecutionId, body_of, decode_body, read_body
from hookline.service.admin.responses import json_response
from hookline.service.admin.system.tokens import MeView, me_view
from hookline.service.views.json_field_types import Time


class SignInRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token or the code of a sign-in link: exactly one of them."""

    token: str | None = None
    code: str | None = None

    def __repr__(self) -> str:
        return "SignInRequest()"


class SessionView(MeView, frozen=True):
    """The caller, who has signed in."""

    expires_at: Time
    """The end of the session."""


class SignInLinkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sign-in link."""

    execution_id: ExecutionId | None = None
    """The execution that the link shows; by default it shows the overview."""


class SignInLinkView(msgspec.Struct, frozen=True):
    """A sign-in link, which is shown only now. Its code isn't sent with requests, since it is in the fragment."""

    url: str
    expires_at: Time


def add_sessions(api: Blueprint, engine: Engine, gate: Gate) -> None:

    @api.post("/session")
    @operation(
        SessionView,
        request=SignInRequest,
        open=True,
        errors=(TokenInvalid, WrongOrigin, WrongHost, TooManyRequests, StoreError),
    )
    async def create_session() -> Response:
        """Sign in to the console with a token or a sign-in code: the response sets the cookie of a session.

        The cookie is accepted in place of a token. The session ends with its token, or after 12 hours.
        """
        gate.check_own_page()
        given = decode_body(await read_body(), SignInRequest)
        if given.code is not None and given.token is None:
            session, secret, by = await gate.sign_in(given.code)
        elif given.token is not None and given.code is None:
            by = await gate.with_token(given.token)
            session, secret = await engine.sessions.begin(by)
        else:
            raise Malformed("Give a token or a code, and not both.")
        shown = msgspec.structs.asdict(me_view(by))
        response = json_response(SessionView(**shown, expires_at=rfc3339(session.expires_at)))
        gate.set_cookie(response, secret, session.expires_at - engine.clock.now())
        return response

    @api.delete("/session")
    @operation(status=204)
    async def end_session() -> Response:
        """Sign out: end the session of the request. Nothing happens if the request has a token instead."""
        by = caller()
        response = Response(status=204)
        if by.session is not None:
            await engine.sessions.end(by.session, by=by)
            gate.set_cookie(response, "", timedelta(0))
        return response

    @api.post("/sign-in-links")
    @operation(
        SignInLinkView,
        request=SignInLinkRequest,
        body_required=False,
        status=201,
        errors=(ExecutionNotFound,),
    )
    async def create_sign_in_link() -> Response:
        """Create a sign-in link to the console, which signs in with the caller's token.

        It can be used once, within 10 minutes.
        """
        given, by, place = await body_of(SignInLinkRequest), caller(), "/"
        if given.execution_id is not None:
            execution_id = await engine.store.aliased(given.execution_id) or given.execution_id
            await require_visible(engine, by, execution_id)
            place = f"/executions/{execution_id}"
        code, text = await engine.sessions.create_code(by)
        url = f"{gate.hosts.admin_url}{place}#code={text}"
        return json_response(SignInLinkView(url, rfc3339(code.expires_at)), 201)
