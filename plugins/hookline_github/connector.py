"""The connector and its credential."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from hookline.api import Connector, Reach
from hookline_github.reference_text import DESCRIPTION, ERRORS, EXAMPLE

API: Final = "https://api.github.com"


class GitHubApi(BaseModel):
    """The token and the URL for GitHub, or for a GitHub Enterprise Server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretStr = Field(
        min_length=1,
        description="A personal access token (fine-grained or classic), or the token of an app's installation.",
    )
    base_url: Annotated[str, Reach("service_url")] = Field(
        default=API,
        pattern=r"^https?://[^\s?#]+$",
        description="The URL of the API; for a GitHub Enterprise Server `https://HOST/api/v3`.",
    )


github: Final = Connector(
    "github",
    title="GitHub",
    credential=GitHubApi,
    credential_type="github-api",
    hosts=("{base_url}",),
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
)
