"""The credential type `oauth2`: a client of any service with OAuth 2."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from hookline.api import OAuth2, Reach, VerifyContext

OAUTH2_TYPE: Final = "oauth2"
_Url = Annotated[str, Reach("service_url"), Field(pattern=r"^https?://[^\s#]+$")]


class OAuth2Client(BaseModel):
    """A client that is registered with a service, as shown on the service's developer page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_url: _Url = Field(description="The URL at which the service issues tokens.")
    authorize_url: Annotated[_Url | None, Reach("passed_url")] = Field(
        None,
        description="The URL at which a person authorizes the client; further parameters of the service go into its "
        "query (`?access_type=offline`). Leave it out if the client acts for itself.",
    )
    client_id: str = Field(min_length=1, description="The client's id.")
    client_secret: SecretStr | None = Field(None, description="The client's secret, if it has one.")
    scopes: str | list[str] = Field(
        "", description="The scopes to request: a list, or one text of them, separated by spaces."
    )
    audience: str | None = Field(None, description="The audience of the tokens, if the service needs it.")
    client_auth: Literal["basic", "body"] = Field(
        "basic", description="The place of the id and the secret: the header `Authorization`, or the body."
    )


OAUTH2: Final = OAuth2(
    token_url=lambda client: client.token_url,
    authorize_url=lambda client: client.authorize_url,
    grants=lambda client: ("authorization_code",) if client.authorize_url else ("client_credentials",),
    scopes=lambda client: client.scopes.split() if isinstance(client.scopes, str) else client.scopes,
    client_auth=lambda client: client.client_auth,
    token_params=lambda client: {"audience": client.audience} if client.audience else {},
)


async def gives_token(ctx: VerifyContext[OAuth2Client]) -> str:
    """Ask the service for a token."""
    await ctx.access_token()
    return "the service issues access tokens to it"
