"""The connector, and how it reaches GitHub."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from hookline.api import Connector
from hookline_github.reference_page import DESCRIPTION, ERRORS, EXAMPLE

API: Final = "https://api.github.com"


class GitHubApi(BaseModel):
    """How to reach GitHub, or a GitHub Enterprise Server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretStr = Field(
        min_length=1,
        description="A personal access token, fine-grained or classic, or that of an app's installation.",
    )
    base_url: str = Field(
        default=API,
        pattern=r"^https?://[^\s?#]+$",
        description="Where the API is; of a GitHub Enterprise Server `https://HOST/api/v3`.",
    )


github: Final = Connector(
    "github",
    title="GitHub",
    credential=GitHubApi,
    credential_type="github-api",
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
)
