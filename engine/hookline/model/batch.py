"""Batches: the settings of a batch step, and the items of a batch."""

from typing import Annotated, Any, Final, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from hookline.kernel.json import encode
from hookline.model.durations import Duration
from hookline.model.message import Attachment
from hookline.model.reach import Reach

MAX_BATCH_SIZE: Final = 10_000
"""The most messages in one batch."""
MAX_BATCH_BYTES: Final = 10_000_000
"""The most bytes of JSON in one batch: bodies, and the records of attachments."""
JOINED: Final = "joined"
"""The signal of the entry of a batch step at which the execution joined another's batch and ended."""


class BatchSettings(BaseModel):
    """The settings of a batch step."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"anyOf": [{"required": ["size"]}, {"required": ["within"]}]}
    )

    size: StrictInt | None = Field(
        default=None,
        ge=2,
        le=MAX_BATCH_SIZE,
        description="The number of messages of a full batch, with which the flow goes on at once; "
        f"{MAX_BATCH_SIZE:,} by default.",
    )
    within: Duration | None = Field(
        default=None,
        description="The longest time from the first message of a batch until it is closed, also if it isn't full. "
        "Without it, the last messages may wait forever.",
    )
    key: Annotated[Any, Reach("expression")] = Field(
        default=None,
        description="An expression, such as `$.body.customer`, or several that are one key together: messages with "
        "equal keys are gathered together. One without its key fails with code `batch_key_missing`.",
    )
    body: Any = Field(default=None, description="The item that each message adds to the list; its body by default.")


class BatchItem(msgspec.Struct, frozen=True):
    """The item that one execution has added to a batch."""

    execution_id: str
    body: bytes
    """JSON; encrypted if the flow redacts anything."""
    attachments: tuple[Attachment, ...] = ()

    @property
    def size(self) -> int:
        """The bytes that it takes of the batch."""
        return size_of(self.body, self.attachments)


class BatchPlace(NamedTuple):
    """The place of an item in its batch. In their order, the items of each batch follow each other."""

    execution_id: str
    """The leader's id."""
    path: str
    """The path of its step."""
    number: int


def size_of(body: bytes, attachments: tuple[Attachment, ...]) -> int:
    """Return the bytes that an item takes of a batch."""
    return len(body) + 1 + (len(encode(attachments)) if attachments else 0)


def joined_output(leader_id: str, place: int) -> bytes:
    """Return the JSON output of a batch step at which the execution joined another's batch."""
    return encode({"body": {"batch": leader_id, "place": place}})
