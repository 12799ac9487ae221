"""What every trigger that consumes can be told, whatever broker it listens to."""

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from hookline.model.durations import Duration, Interval
from hookline.model.webhook import Numbers

PREFETCH: Final = 1000
"""Messages that one trigger may hold at once, at most."""


class ConsumeSettings(BaseModel):
    """The part of such a trigger's settings that the engine goes by; a trigger's own stand beside it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )

    prefetch: int = Field(
        default=100,
        ge=1,
        le=PREFETCH,
        description="How many messages it may hold at once that aren't acknowledged yet, and how many share a commit.",
    )
    connect_timeout: Interval = Field(
        default=timedelta(seconds=60),
        description="The longest time until it listens; then it failed, and is tried again.",
    )
    body: Literal["auto", "json", "text", "raw"] = Field(
        default="auto",
        description="How bytes are read: as their type says, and where they say none as JSON or text if they are that; "
        "as `json` or `text` whatever they say; `raw` keeps them as one attachment.",
    )
    dedupe_key: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="An expression, or several that are one key together: a message whose key was seen within the "
        "window starts nothing. By default the id that the message has.",
    )
    dedupe_window: Duration = Field(default=timedelta(days=7), description="How long keys are remembered.")
    max_body: int = Field(
        default=10_000_000,
        gt=0,
        description="Bytes in a body that is no attachment; a message with a larger one is refused.",
    )
    keep_refused_bodies: bool = Field(
        default=False, description="Keep the beginning of the body of each refused message, to find a sender's error."
    )
    numbers: Numbers = Field(
        default="binary",
        description="What fractions are in messages and in the flow: `binary` has some 16 digits, `exact` keeps every "
        "digit.",
    )
