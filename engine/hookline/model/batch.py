"""Messages that are gathered: the settings of the step that does it, and what each message adds."""

from typing import Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from hookline.kernel.json import encode
from hookline.model.durations import Duration
from hookline.model.message import Attachment

MOST: Final = 10_000
"""Messages in one batch."""
MAX_BATCH_BYTES: Final = 10_000_000
"""Bytes of JSON in one batch: bodies, and what is known of attachments."""
JOINED: Final = "joined"
"""The signal of the entry of a step at which an execution joined another's batch, and ended."""


class BatchSettings(BaseModel):
    """What a step says that gathers messages."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"anyOf": [{"required": ["size"]}, {"required": ["within"]}]}
    )

    size: StrictInt | None = Field(
        default=None,
        ge=2,
        le=MOST,
        description=f"How many messages make a batch full, so that the flow goes on at once; {MOST:,} where that isn't "
        "said.",
    )
    within: Duration | None = Field(
        default=None,
        description="How long after its first message a batch is closed, however few have come. Without it the last "
        "messages may wait for ever.",
    )
    key: Any = Field(
        default=None,
        description="An expression, such as `$.body.customer`, or several that are one key together: messages with "
        "equal keys are gathered together. One without its key fails with code `batch_key_missing`.",
    )
    body: Any = Field(default=None, description="What each message adds to the list; its body by default.")


class BatchItem(msgspec.Struct, frozen=True):
    """What one execution has added to a batch."""

    execution_id: str
    body: bytes
    """JSON, or encrypted where the flow redacts anything."""
    attachments: tuple[Attachment, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that count."""
        return size_of(self.body, self.attachments)


def size_of(body: bytes, attachments: tuple[Attachment, ...]) -> int:
    """How many bytes of a batch a message takes."""
    return len(body) + 1 + (len(encode(attachments)) if attachments else 0)


def joined_output(leader_id: str, place: int) -> bytes:
    """JSON of what the step gave where an execution joined another's batch."""
    return encode({"body": {"batch": leader_id, "place": place}})
