"""The admin API's routes about credentials."""

from typing import Annotated, Any

import msgspec
from quart import Blueprint, Response

from hookline.access.caller import Caller
from hookline.credentials.credential_check import CredentialCheck, check_credential
from hookline.credentials.oauth_authorization import Authorization, query_of
from hookline.credentials.stored_credentials import CredentialInfo
from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import CredentialError
from hookline.maintenance.key_rotation import rotate_keys
from hookline.model.access import TokenScope
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import body_of, decode_body, read_body
from hookline.service.admin.responses import CredentialMissing, json_response
from hookline.service.views.json_field_types import Count, Pending, Time, one_of
from hookline.service.views.list_page import PageView


class CredentialView(msgspec.Struct, frozen=True):
    """A credential without its secrets."""

    name: str
    type: str
    updated_at: Time
    problem: str | None
    """The reason why it can't be used."""
    tokens: "TokensView | None" = None
    """Its access tokens; null if its type has no OAuth 2."""
    flows: list[str] = []
    """Patterns of the ids of the flows that may use it, such as `billing-*`; empty for all."""
    hosts: list[str] = []
    """The hosts to which it may be sent, besides those that its type names."""
    used_by: list[str] = []
    """The ids of the flows that use it."""
    warnings: list[str] = []
    """Problems that do not keep it from being used, with the remedies."""


class TokensView(msgspec.Struct, frozen=True):
    """The state of a credential's access tokens."""

    state: Annotated[str, one_of("valid", "renewable", "on_demand", "missing", "lost")]
    """`valid`; `renewable`: expired, and renewed when they are used; `on_demand`: fetched when they are first used;
    `missing` or `lost`: somebody has to authorize the credential."""
    expires_at: Time | None
    """The time at which the access token expires; null if there is none, or the service doesn't say it."""
    scope: str | None
    """The scope of the token, if the service says it."""
    problem: str | None
    """The reason why no token can be used."""


class ChangedCredentialView(CredentialView, frozen=True):
    """A credential after it was created or replaced."""

    pending: Pending = []


class DroppedCredentialView(msgspec.Struct, frozen=True):
    """A credential that was deleted."""

    name: str
    pending: Pending


def credential_view(info: CredentialInfo, used_by: list[str]) -> CredentialView:
    tokens = None
    if info.tokens is not None:
        at = info.tokens.expires_at
        tokens = TokensView(
            info.tokens.state, None if at is None else rfc3339(at), info.tokens.scope, info.tokens.problem
        )
    return CredentialView(
        info.name,
        info.type,
        rfc3339(info.updated_at),
        info.problem,
        tokens,
        list(info.flows),
        list(info.hosts),
        used_by,
        list(info.warnings),
    )


class AuthorizationView(msgspec.Struct, frozen=True):
    """An attempt to authorize a credential."""

    id: str
    credential: str
    url: str
    """The URL to open in a browser."""
    redirect_uri: str
    """The URL to which the browser is redirected afterwards: the OAuth client has to allow it."""
    expires_at: Time
    state: Annotated[str, one_of("waiting", "done", "failed")]
    """`waiting`, `done` or `failed`."""
    message: str | None
    """The result, in words."""
    code: str | None
    """The error's code, if the check failed."""
    pending: Pending


def authorization_view(made: Authorization) -> AuthorizationView:
    return AuthorizationView(
        made.id,
        made.credential,
        made.url,
        made.redirect_uri,
        rfc3339(made.expires_at),
        made.state,
        made.message,
        made.code,
        list(made.pending),
    )


class CredentialCheckView(msgspec.Struct, frozen=True):
    """The result of a check of a credential."""

    name: str
    type: str
    state: Annotated[str, one_of("valid", "failed", "unknown")]
    """`valid`, `failed`, or `unknown` if no plugin can verify credentials of this type."""
    message: str
    """The account at the service, or the reason why the credential can't be used."""
    code: str | None
    """The error's code, if the check failed."""


def credential_check_view(check: CredentialCheck) -> CredentialCheckView:
    return CredentialCheckView(check.name, check.type, check.state, check.message, check.code)


class PutCredentialRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A credential's type, its values and its limits."""

    type: str
    values: dict[str, Any]
    flows: list[str] = []
    """Patterns of the ids of the flows that may use it, such as `billing-*`; empty for all."""
    hosts: list[str] = []
    """The hosts to which it may be sent, besides those that its type names: `api.example.com`, `*.example.com`,
    `api.example.com:8443`, or `http://api.example.com` for requests without encryption."""


class ChangeCredentialRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parts of a credential that change; the others stay as they are."""

    values: dict[str, Any] = {}
    """Values that are merged over the present ones; null removes one."""
    flows: list[str] | None = None
    """As in a new credential, in place of all present ones."""
    hosts: list[str] | None = None
    """As in a new credential, in place of all present ones."""


class AuthorizeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The redirect of an authorization."""

    redirect_uri: str | None = None
    """An address of the machine where the browser runs; null for the server's own."""


class RedirectedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A received redirect."""

    redirected: str
    """The whole URL with its query, or the query alone."""


class Rotated(msgspec.Struct, frozen=True):
    """The number of credentials that were encrypted again."""

    rotated: Count
    retired: bool
    """True if no node needs an older key any more. Otherwise some node or message may still use one: rotate again."""
    pending: Pending


def visible_credentials(engine: Engine, by: Caller) -> list[CredentialInfo]:
    """The credentials that some flow of a caller may use; all of them if it sees all flows."""
    return [one for one in engine.credentials.list() if by.flows is None or any(map(one.is_for, by.flows))]


def visible_credential(engine: Engine, name: str) -> CredentialInfo:
    """A credential that the current caller sees. Raises CredentialMissing."""
    for info in visible_credentials(engine, caller()):
        if info.name == name:
            return info
    raise CredentialMissing(f"there is no credential {name!r}")


def add_credentials(api: Blueprint, engine: Engine) -> None:

    def users(name: str) -> list[str]:
        """The ids of the flows that use a credential and that the caller sees, in order."""
        entries = engine.catalog.entries.items()
        using = (id for id, entry in entries if entry.flow is not None and name in entry.flow.credentials)
        return sorted(caller().visible(using))

    def found(name: str) -> CredentialView:
        return credential_view(visible_credential(engine, name), users(name))

    @api.get("/credentials")
    @operation(PageView[CredentialView])
    async def list_credentials() -> Response:
        """List the credentials, without their secrets."""
        shown = visible_credentials(engine, caller())
        return json_response(PageView([credential_view(info, users(info.name)) for info in shown], None))

    @api.get("/credentials/<but(rotate):name>")
    @operation(CredentialView)
    async def get_credential(name: str) -> Response:
        """Get a credential, without its secrets."""
        return json_response(found(name))

    @api.put("/credentials/<but(rotate):name>")
    @operation(
        ChangedCredentialView,
        request=PutCredentialRequest,
        scope=TokenScope.ADMIN,
        all_flows=True,
        errors=(CredentialError,),
        connectors=True,
    )
    async def put_credential(name: str) -> Response:
        """Create or replace a credential. When the response comes, all nodes use it but those in `pending`."""
        given = decode_body(await read_body(), PutCredentialRequest)
        await engine.credentials.put(
            name, given.type, given.values, flows=given.flows, hosts=given.hosts, by=caller().actor
        )
        pending = list(await engine.membership.adopted())
        return json_response(ChangedCredentialView(**msgspec.structs.asdict(found(name)), pending=pending))

    @api.patch("/credentials/<but(rotate):name>")
    @operation(
        ChangedCredentialView,
        request=ChangeCredentialRequest,
        scope=TokenScope.ADMIN,
        all_flows=True,
        errors=(CredentialError,),
        connectors=True,
    )
    async def change_credential(name: str) -> Response:
        """Change parts of a credential. When the response comes, all nodes use it but those in `pending`.

        Its access tokens stay if only flows and hosts change.
        """
        given = decode_body(await read_body(), ChangeCredentialRequest)
        found(name)
        await engine.credentials.change(
            name, values=given.values, flows=given.flows, hosts=given.hosts, by=caller().actor
        )
        pending = list(await engine.membership.adopted())
        return json_response(ChangedCredentialView(**msgspec.structs.asdict(found(name)), pending=pending))

    @api.post("/credentials/<name>/verify")
    @operation(CredentialCheckView, scope=TokenScope.OPERATE, connectors=True)
    async def verify_credential(name: str) -> Response:
        """Check a credential with its service. The response is 200 whatever the service answers."""
        found(name)
        checking = check_credential(
            name,
            engine.credentials,
            engine.plugin_calls,
            http=engine.http,
            resources=engine.resources,
            log=engine.log,
            tokens=engine.tokens,
            files_root=engine.options.files_root,
        )
        return json_response(credential_check_view(await checking))

    @api.post("/credentials/<name>/authorize")
    @operation(
        AuthorizationView,
        request=AuthorizeRequest,
        body_required=False,
        scope=TokenScope.ADMIN,
        all_flows=True,
        errors=(CredentialError,),
        connectors=True,
    )
    async def authorize_credential(name: str) -> Response:
        """Start to authorize a credential; gives the URL to open in a browser.

        The service redirects the browser to the server's own `/oauth/callback`, or to the `redirect_uri` of the body,
        which is an address of the machine where the browser runs. A program that listens there passes the redirect on
        to this API.
        """
        found(name)
        given = await body_of(AuthorizeRequest)
        begun = engine.authorizations.begin(name, given.redirect_uri, by=caller().actor)
        return json_response(authorization_view(begun))

    @api.get("/credentials/<name>/authorize/<id>")
    @operation(AuthorizationView, scope=TokenScope.ADMIN, all_flows=True, errors=(CredentialError,))
    async def get_authorization(name: str, id: str) -> Response:
        """Get the state of an authorization."""
        return json_response(authorization_view(engine.authorizations.get(name, id)))

    @api.post("/credentials/<name>/authorize/<id>")
    @operation(
        AuthorizationView,
        request=RedirectedRequest,
        scope=TokenScope.ADMIN,
        all_flows=True,
        errors=(CredentialError,),
        connectors=True,
    )
    async def finish_authorization(name: str, id: str) -> Response:
        """Pass on the URL to which a browser was redirected. The status is 200 whatever the service says."""
        engine.authorizations.get(name, id)
        given = decode_body(await read_body(), RedirectedRequest)
        done = await engine.authorizations.finish(query_of(given.redirected), engine.http, id)
        return json_response(authorization_view(done))

    @api.post("/credentials/rotate")
    @operation(Rotated, scope=TokenScope.ADMIN, all_flows=True, errors=(CredentialError,))
    async def rotate_credentials() -> Response:
        """Encrypt with the first key everything that is encrypted with another one."""
        await engine.keys.refresh()
        if engine.keys.without:
            names = ", ".join(engine.keys.without)
            raise CredentialError(f"the new key isn't used yet, since nodes don't have it: {names}")
        # Until all nodes encrypt with the new key, and the intake queue has nothing older, the old one is needed.
        retire = not await engine.membership.adopted() and await engine.oldest_unstored() is None
        rotated = await rotate_keys(
            engine.credentials,
            engine.store,
            engine.vault,
            engine.clock,
            engine.ids.new,
            by=caller().actor,
            retire=retire,
        )
        return json_response(Rotated(rotated, retire, list(await engine.membership.adopted())))

    @api.delete("/credentials/<but(rotate):name>")
    @operation(DroppedCredentialView, scope=TokenScope.ADMIN, all_flows=True)
    async def delete_credential(name: str) -> Response:
        """Delete a credential. When the response comes, no node uses it but those in `pending`."""
        found(name)
        await engine.credentials.drop(name, by=caller().actor)
        return json_response(DroppedCredentialView(name, list(await engine.membership.adopted())))
