"""The admin API's routes about credentials."""

from typing import Any

import msgspec
from quart import Blueprint, Response, request

from hookline.runtime.engine import Engine
from hookline.runtime.verifying import verify
from hookline.service.admin.errors import CredentialMissing
from hookline.service.admin.messages import answer, decoded
from hookline.service.admin.openapi import operation
from hookline.service.views.credentials import CredentialView, VerdictView, credential_view, verdict_view
from hookline.service.views.pages import PageView


class PutCredentialRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A credential's type and its values."""

    type: str
    values: dict[str, Any]


class Rotated(msgspec.Struct, frozen=True):
    """How many credentials were encrypted anew."""

    rotated: int


def add_credentials(api: Blueprint, engine: Engine) -> None:
    """Add the routes."""

    def found(name: str) -> CredentialView:
        for info in engine.credentials.list():
            if info.name == name:
                return credential_view(info)
        raise CredentialMissing(f"There is no credential {name!r}.")

    @api.get("/credentials")
    @operation(PageView[CredentialView])
    async def list_credentials() -> Response:
        """The credentials, without their secrets."""
        return answer(PageView([credential_view(info) for info in engine.credentials.list()], None))

    @api.get("/credentials/<name>")
    @operation(CredentialView)
    async def get_credential(name: str) -> Response:
        """A credential, without its secrets."""
        return answer(found(name))

    @api.put("/credentials/<name>")
    @operation(CredentialView, request=PutCredentialRequest)
    async def put_credential(name: str) -> Response:
        """Make or replace a credential."""
        given = decoded(await request.get_data(as_text=False), PutCredentialRequest)
        await engine.credentials.put(name, given.type, given.values)
        return answer(found(name))

    @api.post("/credentials/<name>/verify")
    @operation(VerdictView)
    async def verify_credential(name: str) -> Response:
        """Ask the service of a credential whether it takes it. The answer is 200 whatever the service says."""
        found(name)
        asked = verify(
            name,
            engine.credentials,
            engine.registry,
            http=engine.http,
            resources=engine.resources,
            log=engine.log,
        )
        return answer(verdict_view(await asked))

    @api.post("/credentials/rotate")
    @operation(Rotated)
    async def rotate_credentials() -> Response:
        """Encrypt with the first key what is under another."""
        return answer(Rotated(await engine.credentials.rotate()))

    @api.delete("/credentials/<name>")
    @operation(status=204)
    async def drop_credential(name: str) -> Response:
        """Remove a credential."""
        found(name)
        await engine.credentials.drop(name)
        return Response(status=204)
