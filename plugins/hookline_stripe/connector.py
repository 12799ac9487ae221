"""The connector and its credential."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from hookline.api import Connector, Reach
from hookline_stripe.reference_text import DESCRIPTION, ERRORS, EXAMPLE

API: Final = "https://api.stripe.com"
VERSION: Final = "2025-06-30.basil"
"""The version of the API that this connector was written for."""


class StripeApi(BaseModel):
    """The key, the URL and the version of Stripe's API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: SecretStr = Field(
        min_length=1, description="A secret key or a restricted key, of the live mode or of a sandbox."
    )
    base_url: Annotated[str, Reach("service_url")] = Field(
        default=API, pattern=r"^https?://[^\s?#]+$", description="The URL of the API."
    )
    api_version: str = Field(
        default=VERSION, pattern=r"^[0-9a-z.-]+$", description="The version of the API, sent as `Stripe-Version`."
    )
    account: str | None = Field(
        default=None, pattern=r"^acct_\w+$", description="A connected account on whose behalf requests are made."
    )


stripe: Final = Connector(
    "stripe",
    title="Stripe",
    credential=StripeApi,
    credential_type="stripe-api",
    hosts=("{base_url}",),
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
)
