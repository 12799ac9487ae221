"""The connector, to which each action's module adds its own, and its credential."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from hookline.api import Connector, OAuth2, Reach
from hookline_paypal.reference_text import DESCRIPTION, ERRORS, EXAMPLE


def _address(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError("it has to begin with https://")
    return url.rstrip("/")


class PayPalApi(BaseModel):
    """A REST app of PayPal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str = Field(min_length=1, description="The app's client id.")
    client_secret: SecretStr = Field(min_length=1, description="The app's secret.")
    base_url: Annotated[str, Reach("service_url"), AfterValidator(_address)] = Field(
        default="https://api-m.paypal.com",
        description="The URL of the API; for the sandbox `https://api-m.sandbox.paypal.com`.",
    )


def _token_url(credential: Any) -> str:
    return f"{credential.base_url}/v1/oauth2/token"


paypal: Final = Connector(
    "paypal",
    title="PayPal",
    credential=PayPalApi,
    credential_type="paypal-api",
    hosts=("{base_url}",),
    oauth2=OAuth2(token_url=_token_url, grants=("client_credentials",)),
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
)
