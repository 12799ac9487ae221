"""A connector whose credentials have OAuth 2, for tests against an authorization server."""

from typing import Any

from pydantic import BaseModel, Field, SecretStr

from hookline.api import Connector, Context, OAuth2, PollContext, PollResult, VerifyContext
from tests.integration.authorization_server import CLIENT_ID, CLIENT_SECRET, SCOPES, AuthorizationService


class AcmeKey(BaseModel):
    """What Acme's developers' page shows of a client."""

    base_url: str = Field(description="Where Acme is.")
    client_id: str = Field(description="The client's id.")
    client_secret: SecretStr | None = Field(None, description="The client's secret.")


def values(service: AuthorizationService, **other: Any) -> dict[str, Any]:
    """Of a credential."""
    return {"base_url": service.url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **other}


def acme(**oauth2: Any) -> Connector:
    """The connector; by default somebody authorizes it."""
    settings: dict[str, Any] = {
        "token_url": lambda key: f"{key.base_url}/token",
        "authorize_url": lambda key: f"{key.base_url}/authorize",
        "scopes": tuple(SCOPES.split()),
        **oauth2,
    }
    connector = Connector("acme", title="Acme", credential=AcmeKey, oauth2=OAuth2(**settings))

    async def me(ctx: Any) -> Any:
        async def ask(token: str) -> Any:
            url = f"{ctx.credential.base_url}/me"
            return await ctx.http.get_json(url, headers={"Authorization": f"Bearer {token}"})

        return await ctx.authorized(ask)

    @connector.action
    async def whoami(ctx: Context[AcmeKey]) -> dict[str, Any]:
        """Who has authorized it."""
        found: dict[str, Any] = await me(ctx)
        return found

    @connector.action
    async def blurt(ctx: Context[AcmeKey], how: str) -> dict[str, Any]:
        """Say the token where it mustn't be said."""
        token = await ctx.access_token()
        ctx.log.info(f"the token is {token}", token=token, nested={"all": [token]})
        if how == "defect":
            raise KeyError(token)
        from hookline.api import StepError

        raise StepError(f"rejected: {token}", code="acme.rejected")

    @connector.poll(every="1m")
    async def names(ctx: PollContext[AcmeKey]) -> PollResult:
        """Names, one for each look."""
        from hookline.api import PollItem

        found = await me(ctx)
        return PollResult([PollItem(ctx.now.isoformat(), found)])

    @connector.verify
    async def who(ctx: VerifyContext[AcmeKey]) -> str:
        """Ask who I am."""
        return str((await me(ctx))["name"])

    return connector


def for_itself(**oauth2: Any) -> Connector:
    """One that acts for itself."""
    return acme(grants=("client_credentials",), authorize_url=None, **oauth2)
