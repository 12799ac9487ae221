"""The connector, to which each action's module adds its own, and its credential."""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from hookline.api import Connector, Reach
from hookline_slack.reference_text import DESCRIPTION, ERRORS, EXAMPLE


def _address(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError("it has to begin with https://")
    return url.rstrip("/")


def _secret_address(url: SecretStr) -> SecretStr:
    _address(url.get_secret_value())
    return url


class SlackApi(BaseModel):
    """A Slack app as it is installed in a workspace, or one of its incoming webhooks, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="The bot token (`xoxb-…`), under OAuth & Permissions of the app; it needs the scopes that each "
        "action names.",
    )
    webhook_url: Annotated[Annotated[SecretStr, AfterValidator(_secret_address)] | None, Reach("service_url")] = Field(
        default=None,
        description="The URL of an incoming webhook (`https://hooks.slack.com/services/…`), for `slack.send_webhook`.",
    )
    base_url: Annotated[str, Reach("service_url"), AfterValidator(_address)] = Field(
        default="https://slack.com/api", description="The URL of the Web API; for GovSlack `https://slack-gov.com/api`."
    )

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if self.token is None and self.webhook_url is None:
            raise ValueError("give `token`, or `webhook_url`, or both")
        return self


slack: Final = Connector(
    "slack",
    title="Slack",
    credential=SlackApi,
    credential_type="slack-api",
    hosts=("{base_url}", "{webhook_url}", "*.slack.com", "*.slack-gov.com"),
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
)
