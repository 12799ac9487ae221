"""The admin API's routes about its tokens: the caller's own, all of them, and rejected sign-ins."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import msgspec
from quart import Blueprint, Response

from hookline.access.caller import Caller
from hookline.access.tokens import BUILT_IN, NAME
from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import Malformed, NotForLimitedTokens, TokenNameTaken, TokenNotFound
from hookline.model.access import Token, TokenScope
from hookline.model.durations import PATTERN, parse_duration
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    PAGE,
    FlowId,
    decode_body,
    page_or_malformed,
    read_body,
    read_query,
    read_time,
)
from hookline.service.admin.responses import json_response
from hookline.service.views.json_field_types import Time, Uuid, one_of, time_view
from hookline.service.views.list_page import PageView
from hookline.storage.store import RejectedSignInPage


def _schema(**keywords: Any) -> msgspec.Meta:
    """The JSON Schema of conditions that are checked elsewhere, with better messages."""
    return msgspec.Meta(extra_json_schema=keywords)


class MeView(msgspec.Struct, frozen=True):
    """The caller."""

    name: str
    """The name of its token."""
    scopes: list[TokenScope]
    """Its scopes, including those that they include."""
    flows: list[str] | None
    """The ids of the only flows that it sees; null for all."""
    expires: Time | None
    """The expiry of its token."""


class TokenView(msgspec.Struct, frozen=True):
    """A token, without its secret."""

    id: Uuid
    name: str
    scopes: list[TokenScope]
    flows: list[str] | None
    """The ids of the only flows that it sees; null for all."""
    created_at: Time
    created_by: str
    expires: Time | None
    revoked_at: Time | None
    valid: bool
    """True if it is valid now."""


class CreatedTokenView(TokenView, frozen=True):
    """A new token with its secret, which is shown only now."""

    token: str


class CreateTokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new token."""

    name: Annotated[str, _schema(pattern=f"^{NAME}$", **{"not": {"const": BUILT_IN}})]
    scopes: Annotated[list[TokenScope], _schema(minItems=1)]
    expires: Annotated[str, _schema(anyOf=[{"format": "date-time"}, {"pattern": PATTERN}])] | None = None
    """A time with its offset, or a duration from now, such as `90d`. Without it, the token doesn't expire."""
    flows: Annotated[list[FlowId], _schema(minItems=1)] | None = None
    """The ids of the only flows that it sees; null for all."""


class RejectedSignInView(msgspec.Struct, frozen=True):
    """A request with a token that isn't valid."""

    id: Uuid
    at: Time
    address: str
    """Empty if it isn't known."""
    reason: Annotated[str, one_of("unknown", "expired", "revoked")]
    """`unknown`, `expired` or `revoked`."""
    token: str | None
    """The name of the token, if it was valid once."""


def me_view(by: Caller) -> MeView:
    scopes = [scope for scope in TokenScope if by.scope.includes(scope)]
    flows = None if by.flows is None else sorted(by.flows)
    return MeView(by.actor.name, scopes, flows, time_view(by.expires_at))


def token_view(token: Token, now: datetime) -> TokenView:
    return TokenView(
        token.id,
        token.name,
        list(token.scopes),
        None if token.flows is None else list(token.flows),
        rfc3339(token.created_at),
        token.created_by,
        time_view(token.expires_at),
        time_view(token.revoked_at),
        token.is_valid(now),
    )


def _rejected_view(page: RejectedSignInPage) -> PageView[RejectedSignInView]:
    shown = [RejectedSignInView(one.id, rfc3339(one.at), one.address, one.reason, one.token) for one in page.items]
    return PageView(shown, page.next)


def _expiry(text: str | None, now: datetime) -> datetime | None:
    """The time at which a token expires. Raises Malformed."""
    if text is None:
        return None
    with suppress(ValueError):
        return now + parse_duration(text)
    with suppress(ValueError):
        return read_time(text)
    raise Malformed(f"expires is a time such as 2026-01-31T08:00:00Z, or a duration such as 90d, not {text!r}.")


def visible_tokens(tokens: Sequence[Token]) -> list[Token]:
    """The tokens that the caller may see: those that are limited to flows that it sees."""
    by = caller()
    if by.flows is None:
        return list(tokens)
    return [token for token in tokens if token.flows is not None and by.flows.issuperset(token.flows)]


def add_tokens(api: Blueprint, engine: Engine) -> None:

    @api.get("/me")
    @operation(MeView)
    async def get_me() -> Response:
        """Get the caller: the name, the scopes and the flows of the token."""
        return json_response(me_view(caller()))

    @api.get("/tokens")
    @operation(PageView[TokenView], scope=TokenScope.ADMIN)
    async def list_tokens() -> Response:
        """List all tokens, newest first, including those that expired or were revoked."""
        now = engine.clock.now()
        return json_response(
            PageView([token_view(token, now) for token in visible_tokens(await engine.store.tokens())], None)
        )

    @api.post("/tokens")
    @operation(
        CreatedTokenView,
        request=CreateTokenRequest,
        status=201,
        scope=TokenScope.ADMIN,
        errors=(TokenNameTaken, NotForLimitedTokens),
    )
    async def create_token() -> Response:
        """Create a token, which is shown only in this response. It can't allow more than the caller's token."""
        given = decode_body(await read_body(), CreateTokenRequest)
        now = engine.clock.now()
        token, secret = await engine.api_tokens.create(
            given.name, given.scopes, by=caller(), expires_at=_expiry(given.expires, now), flows=given.flows
        )
        shown = msgspec.structs.asdict(token_view(token, now))
        return json_response(CreatedTokenView(**shown, token=secret), 201)

    @api.delete("/tokens/<but(rejected):token_id>")
    @operation(
        status=204,
        scope=TokenScope.ADMIN,
        errors=(TokenNotFound, NotForLimitedTokens),
    )
    async def revoke_token(token_id: str) -> Response:
        """Revoke a token. It is invalid at once."""
        await engine.api_tokens.revoke(token_id, by=caller())
        return Response(status=204)

    @api.get("/tokens/rejected")
    @operation(PageView[RejectedSignInView], query=PAGE, scope=TokenScope.ADMIN, all_flows=True)
    async def list_rejected_sign_ins() -> Response:
        """List the newest requests whose tokens weren't valid."""
        given = read_query(PAGE)
        found = engine.store.rejected_sign_ins(cursor=given["cursor"], limit=given["limit"])
        return json_response(_rejected_view(await page_or_malformed(found)))
