"""What commands ask of a server about credentials, and about signing with one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, Final, Protocol, TypedDict
from urllib.parse import quote

import msgspec
import structlog

from hookline.cli.access.local import Local, as_json
from hookline.cli.access.remote import Remote, ServerRejected, flow_path
from hookline.cli.local_flow import local_flow
from hookline.credentials.authorization import Authorizations, query_of
from hookline.credentials.check import verify
from hookline.credentials.store import Credentials
from hookline.credentials.tokens import AccessTokens
from hookline.kernel.errors import CannotSign
from hookline.kernel.logs import Log
from hookline.maintenance.key_rotation import rotate_keys
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.plugin_host.resources import EngineResources
from hookline.sdk.context import Resources
from hookline.sdk.http import HttpClient
from hookline.service.admin.credentials import authorization_view, credential_view, verdict_view
from hookline.service.signing import Signed, Unsigned, credential_of, hook_url, sign
from hookline.sources.subscription_store import Subscriptions

_TOKENS_GRACE: Final = 10.0
"""Seconds that a renewal has to end in, which a verification has begun."""


class CredentialAccess(Protocol):
    """Values are JSON, shaped as the admin API shapes them."""

    async def credentials(self) -> list[Mapping[str, Any]]: ...

    async def put_credential(self, name: str, type: str, values: Mapping[str, Any]) -> None:
        """Raises CredentialError with every problem."""
        ...

    async def drop_credential(self, name: str) -> None:
        """Raises CredentialError."""
        ...

    async def verify_credential(self, name: str) -> Mapping[str, Any]:
        """Whether a credential works. Raises CredentialError."""
        ...

    async def begin_authorization(self, name: str, redirect_uri: str | None) -> Mapping[str, Any]:
        """Where somebody authorizes a credential; `redirect_uri`: None for the server's own. Raises CredentialError."""
        ...

    async def finish_authorization(self, name: str, id: str, redirected: str) -> Mapping[str, Any]:
        """What becomes of it, of the query that came with the redirect. Raises CredentialError where it isn't its."""
        ...

    async def authorization(self, name: str, id: str) -> Mapping[str, Any]:
        """How it stands. Raises CredentialError."""
        ...

    async def rotate_credentials(self) -> int:
        """Encrypt with the first key what is under another; gives how many those were. Raises CredentialError."""
        ...

    async def sign(self, flow_id: str, message: Unsigned) -> Signed:
        """Sign a message with a flow's own credential; without a server it names its `base_url`.

        Raises FlowNotFound, CredentialError and CannotSign.
        """
        ...


class Outside(TypedDict):
    """What asking a service takes, as keyword arguments."""

    http: HttpClient
    resources: Resources
    log: Log
    tokens: AccessTokens


class LocalCredentials(Local):
    """Without a server."""

    async def credentials(self) -> list[Mapping[str, Any]]:
        await self._credentials.load()
        return [as_json(credential_view(info)) for info in self._credentials.list()]

    async def put_credential(self, name: str, type: str, values: Mapping[str, Any]) -> None:
        await self._credentials.load()
        await self._credentials.put(name, type, values)

    async def drop_credential(self, name: str) -> None:
        await self._credentials.load()
        await self._credentials.drop(name)

    async def verify_credential(self, name: str) -> Mapping[str, Any]:
        async with self._outside() as outside:
            verdict = await verify(name, self._credentials, self._registry, **outside)
        return as_json(verdict_view(verdict))

    @asynccontextmanager
    async def _outside(self) -> AsyncIterator[Outside]:
        """What a connector is lent with which a service is asked."""
        await self._credentials.load()
        egress = Egress(self._settings.egress_allow)
        http = PooledClient(clock=self._clock, egress=egress)
        resources = EngineResources([self._settings.db], egress)
        log = structlog.get_logger()
        tokens = AccessTokens(self._credentials, http, self._clock, log)
        try:
            yield {"http": http, "resources": resources, "log": log, "tokens": tokens}
        finally:
            await tokens.close(_TOKENS_GRACE)
            await resources.close()
            await http.close()

    async def begin_authorization(self, name: str, redirect_uri: str | None) -> Mapping[str, Any]:
        await self._credentials.load()
        return as_json(authorization_view(self._authorizations.begin(name, redirect_uri)))

    async def finish_authorization(self, name: str, id: str, redirected: str) -> Mapping[str, Any]:
        http = PooledClient(clock=self._clock, egress=Egress(self._settings.egress_allow))
        try:
            done = await self._authorizations.finish(query_of(redirected), http, id)
        finally:
            await http.close()
        return as_json(authorization_view(done))

    async def authorization(self, name: str, id: str) -> Mapping[str, Any]:
        return as_json(authorization_view(self._authorizations.get(name, id)))

    async def rotate_credentials(self) -> int:
        await self._credentials.load()
        return await rotate_keys(self._credentials, self._store, self._vault)

    async def sign(self, flow_id: str, message: Unsigned) -> Signed:
        flow = local_flow(self._settings, self._registry, flow_id)
        scheme, chosen = flow.trigger.scheme, flow.trigger.scheme_settings
        if scheme is None or chosen is None:
            return Signed("none", [], message.body)
        await self._credentials.load()
        # Whoever can read the database and its key has the secret already.
        if flow.trigger.subscribes is not None:
            subscriptions = Subscriptions(self._store, self._vault, self._clock)
            await subscriptions.load()
            credential, _ = await subscriptions.verifying(flow)
        else:
            credential = credential_of(flow, self._credentials.get)
        return sign(scheme, credential, chosen, message, hook_url("", flow_id, message), self._clock.now())

    @cached_property
    def _credentials(self) -> Credentials:
        types, oauth2 = self._registry.credential_types, self._registry.oauth2
        return Credentials(self._store, self._vault, types, self._clock, oauth2=oauth2)

    @cached_property
    def _authorizations(self) -> Authorizations:
        return Authorizations(self._credentials, self._clock)


class RemoteCredentials(Remote):
    """Through a running server's admin API."""

    async def credentials(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = (await self._ask("GET", "/credentials"))["items"]
        return found

    async def put_credential(self, name: str, type: str, values: Mapping[str, Any]) -> None:
        await self._ask("PUT", f"/credentials/{quote(name, safe='')}", body={"type": type, "values": values})

    async def drop_credential(self, name: str) -> None:
        await self._ask("DELETE", f"/credentials/{quote(name, safe='')}")

    async def verify_credential(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("POST", f"/credentials/{quote(name, safe='')}/verify")
        return found

    async def begin_authorization(self, name: str, redirect_uri: str | None) -> Mapping[str, Any]:
        body = {"redirect_uri": redirect_uri}
        made: Mapping[str, Any] = await self._ask("POST", _authorize_path(name), body=body)
        return made

    async def finish_authorization(self, name: str, id: str, redirected: str) -> Mapping[str, Any]:
        body = {"redirected": redirected}
        done: Mapping[str, Any] = await self._ask("POST", f"{_authorize_path(name)}/{quote(id, safe='')}", body=body)
        return done

    async def authorization(self, name: str, id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask("GET", f"{_authorize_path(name)}/{quote(id, safe='')}")
        return found

    async def rotate_credentials(self) -> int:
        rotated: int = (await self._ask("POST", "/credentials/rotate"))["rotated"]
        return rotated

    async def sign(self, flow_id: str, message: Unsigned) -> Signed:
        try:
            return msgspec.convert(await self._ask("POST", f"{flow_path(flow_id)}/sign", body=message), Signed)
        except ServerRejected as rejected:
            if rejected.error_code == CannotSign.code:
                raise CannotSign(rejected.message) from None
            raise


def _authorize_path(name: str) -> str:
    return f"/credentials/{quote(name, safe='')}/authorize"
