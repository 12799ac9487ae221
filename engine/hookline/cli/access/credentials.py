"""What commands ask of a server about credentials, and about signing with one."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
import structlog

from hookline.cli.access.local import Local, as_json
from hookline.cli.access.remote import Remote, ServerRefused, flow_path
from hookline.cli.local_flow import local_flow
from hookline.errors import CannotSign
from hookline.runtime.credentials import Credentials
from hookline.runtime.egress import Egress
from hookline.runtime.http_client import PooledClient
from hookline.runtime.resources import EngineResources
from hookline.runtime.verifying import verify
from hookline.service.signing import Signed, Unsigned, credential_of, hook_url, sign
from hookline.service.views.credentials import credential_view, verdict_view


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

    async def rotate_credentials(self) -> int:
        """Encrypt with the first key what is under another; gives how many those were. Raises CredentialError."""
        ...

    async def sign(self, flow_id: str, message: Unsigned) -> Signed:
        """Sign a message with a flow's own credential; without a server it names its `base_url`.

        Raises FlowNotFound, CredentialError and CannotSign.
        """
        ...


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
        await self._credentials.load()
        egress = Egress(self._settings.egress_allow)
        http = PooledClient(clock=self._clock, egress=egress)
        resources = EngineResources([self._settings.db], egress)
        log = structlog.get_logger()
        try:
            verdict = await verify(name, self._credentials, self._registry, http=http, resources=resources, log=log)
        finally:
            await resources.close()
            await http.close()
        return as_json(verdict_view(verdict))

    async def rotate_credentials(self) -> int:
        await self._credentials.load()
        return await self._credentials.rotate()

    async def sign(self, flow_id: str, message: Unsigned) -> Signed:
        flow = local_flow(self._settings, self._registry, flow_id)
        scheme, chosen = flow.trigger.scheme, flow.trigger.scheme_settings
        if scheme is None or chosen is None:
            return Signed("none", [], message.body)
        await self._credentials.load()
        # Whoever can read the database and its key has the secret already.
        credential = credential_of(flow, self._credentials.get)
        return sign(scheme, credential, chosen, message, hook_url("", flow_id, message), self._clock.now())

    @cached_property
    def _credentials(self) -> Credentials:
        return Credentials(self._store, self._vault, self._registry.credential_types, self._clock)


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

    async def rotate_credentials(self) -> int:
        rotated: int = (await self._ask("POST", "/credentials/rotate"))["rotated"]
        return rotated

    async def sign(self, flow_id: str, message: Unsigned) -> Signed:
        try:
            return msgspec.convert(await self._ask("POST", f"{flow_path(flow_id)}/sign", body=message), Signed)
        except ServerRefused as refused:
            if refused.error_code == CannotSign.code:
                raise CannotSign(refused.message) from None
            raise
