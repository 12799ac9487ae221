"""What commands ask of services through connectors: the choices for a setting."""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from hookline.cli.access.credentials import LocalCredentials
from hookline.cli.access.local import as_json
from hookline.cli.access.remote import Remote
from hookline.credentials.options import OptionsRequest, fetch_options
from hookline.service.views.components import OptionsRequestBody, options_page_view


class ComponentAccess(Protocol):
    """Values are JSON, shaped as the admin API shapes them."""

    async def options(self, component: str, setting: str, request: OptionsRequestBody) -> Mapping[str, Any]:
        """The choices for a setting. Raises NoOptions, CannotOffer, CredentialError and StepError."""
        ...


class LocalComponents(LocalCredentials):
    """Without a server."""

    async def options(self, component: str, setting: str, request: OptionsRequestBody) -> Mapping[str, Any]:
        asked = OptionsRequest(component, setting, request.credential, request.with_, request.search)
        async with self._outside() as outside:
            found = await fetch_options(asked, self._credentials, self._registry, **outside)
        return as_json(options_page_view(found))


class RemoteComponents(Remote):
    """Through a running server's admin API."""

    async def options(self, component: str, setting: str, request: OptionsRequestBody) -> Mapping[str, Any]:
        path = f"/components/{quote(component, safe='')}/options/{quote(setting, safe='')}"
        found: Mapping[str, Any] = await self._ask("POST", path, body=request)
        return found
