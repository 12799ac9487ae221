"""The settings of a webhook: which requests it takes, and how it knows their sender."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hookline.model.durations import Duration

Method = Literal["GET", "POST", "PUT", "PATCH"]


class Verify(BaseModel):
    """How the sender is verified. What a scheme takes besides stands beside `scheme` and `credential`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    scheme: str = Field(description="The name of a scheme, such as `github`; `none` verifies nothing.")
    credential: str | None = Field(default=None, description="The name of the credential with the scheme's secret.")

    @property
    def settings(self) -> dict[str, Any]:
        """What the scheme's own settings model is given."""
        return dict(self.model_extra or {})


def _short(value: Any) -> Any:
    return {"scheme": value} if isinstance(value, str) else value


class WebhookSettings(BaseModel):
    """What a webhook takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verify: Annotated[Verify, BeforeValidator(_short, json_schema_input_type=Verify | str)] = Field(
        description='How the sender is verified; "none" has to be said.'
    )
    methods: tuple[Method, ...] = Field(default=("POST",), min_length=1, description="The methods it takes.")
    dedupe_key: str | None = Field(
        default=None,
        description="An expression: a message whose key was seen within the window starts nothing.",
    )
    dedupe_window: Duration = Field(default=timedelta(days=7), description="How long keys are remembered.")
    media_types: tuple[str, ...] | None = Field(
        default=None,
        description="The media types that it takes, such as `application/json` or `text/*`; all by default.",
    )
    force_list: tuple[str, ...] = Field(
        default=(), description="XML elements that are lists also where there is one of them."
    )
    max_body: int | None = Field(default=None, gt=0, description="Bytes in a body; the server's bound by default.")
    max_file: int | None = Field(default=None, gt=0, description="Bytes in a file; the server's bound by default.")
