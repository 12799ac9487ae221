"""The stream: its settings, and the check of one that exists."""

import secrets
from typing import Any, Final

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    SubjectTransform,
)
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, BadRequestError, NotFoundError

from hookline.api import StoreError
from hookline_nats.address import Address

_CONSUMER: Final = "inserters"
ACK_WAIT: Final = 10.0
"""Seconds after which a message whose process died is given to another one."""
DUPLICATE_WINDOW: Final = 600.0
"""Seconds in which the server recognizes a repeated message. The database decides after that."""
_IN_FLIGHT: Final = 20_000
"""The most messages that all processes together hold and haven't inserted."""


class Subjects:
    """The subjects of a stream, for each flow."""

    def __init__(self, stream: str) -> None:
        self.all = f"hookline.{stream}.>"
        self._any = f"hookline.{stream}.any"
        self._ordered = f"hookline.{stream}.ordered"
        self._unreadable = f"hookline.{stream}.unreadable"
        self.every_any = f"{self._any}.>"
        self.every_ordered = f"{self._ordered}.>"

    def of(self, flow_id: str, *, ordered: bool) -> str:
        """The subject of a flow's messages with an order key, or of those without."""
        return f"{self._ordered if ordered else self._any}.{flow_id}"

    def ordered_in(self, stream: str) -> str:
        """The subjects under which one stream keeps messages with an order key."""
        return f"{self._ordered}.{stream}.>"

    def removable_with(self, subject: str) -> str:
        """The subjects of the messages with an order key that are in the same stream as a message."""
        return f"{subject.rpartition('.')[0]}.>"

    def unreadable(self, subject: str) -> str:
        """The subject under which a message is kept that can't be inserted."""
        return f"{self._unreadable}.{subject.rpartition('.')[2]}"


def wanted(address: Address, subjects: Subjects) -> StreamConfig:
    """The settings of a new stream.

    The server adds a word of this stream alone to the subjects of messages with an order key, and the name of the
    consumer has it, too. What is removed by them is of this stream, and not of a later one with the same name, in which
    other messages have the same places.
    """
    return StreamConfig(
        name=address.stream,
        description="Messages that Hookline has accepted and not yet inserted into its database.",
        subjects=[subjects.all],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        num_replicas=address.replicas,
        discard=DiscardPolicy.NEW,
        max_age=0,
        max_bytes=address.max_bytes,
        max_msgs=-1,
        duplicate_window=DUPLICATE_WINDOW,
        subject_transform=SubjectTransform(src=subjects.every_ordered, dest=subjects.ordered_in(secrets.token_hex(8))),
    )


def differences(found: StreamConfig, new: StreamConfig) -> list[str]:
    """The settings of an existing stream with which it could lose messages, or lose track of them."""
    exact: dict[str, tuple[Any, Any]] = {
        "subjects": (found.subjects, new.subjects),
        "retention": (found.retention, new.retention),
        "storage": (found.storage, new.storage),
        "discard": (found.discard, new.discard),
        "max_age": (found.max_age or 0, 0),
        "max_msgs_per_subject": (found.max_msgs_per_subject, -1),
        "deny_purge": (found.deny_purge, False),
        "no_ack": (found.no_ack, False),
    }
    told = [f"{name} is {_text(is_)}, not {_text(want)}" for name, (is_, want) in exact.items() if is_ != want]
    if (found.num_replicas or 1) < (new.num_replicas or 1):
        told.append(f"num_replicas is {found.num_replicas}, not {new.num_replicas}")
    if found.duplicate_window < new.duplicate_window:
        told.append(f"duplicate_window is {found.duplicate_window:g}s, not {new.duplicate_window:g}s")
    return told


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))


async def prepare(stream: JetStreamContext, address: Address, subjects: Subjects) -> None:
    """Create the stream and its consumer, if they are missing. Raises StoreError if the stream has other settings."""
    new = wanted(address, subjects)
    try:
        found = (await stream.stream_info(address.stream)).config
    except NotFoundError:
        found = (await _created(stream, address, new)).config
    told = differences(found, new)
    if told:
        raise StoreError(
            f"{address.name} can't be used: {'; '.join(told)}. Change it with `nats stream edit {address.stream}` if "
            "the setting can be changed; otherwise let it run empty, remove it with `nats stream rm`, and start again, "
            "or name another stream with ?stream=…"
        )
    await add_consumer(stream, address, subjects)


async def _created(stream: JetStreamContext, address: Address, new: StreamConfig) -> Any:
    try:
        return await stream.add_stream(new)
    except BadRequestError as error:
        if error.err_code == _NAME_IN_USE:  # another process has just created it
            return await stream.stream_info(address.stream)
        raise _not_created(address, error) from error
    except APIError as error:
        if error.err_code == _NO_LEADER:
            raise
        raise _not_created(address, error) from error


def _not_created(address: Address, error: APIError) -> StoreError:
    return StoreError(
        f"{address.name} can't be created with {address.replicas} replicas of {address.max_bytes:,} bytes: "
        f"{error.description}. It needs as many servers of one cluster, each with JetStream and room for it; "
        "?replicas=1 and ?max_bytes=1GB make a smaller one"
    )


_NAME_IN_USE: Final = 10058
_NO_LEADER: Final = 10008
"""The code of a cluster that is choosing a leader, such as right after its start."""


async def add_consumer(stream: JetStreamContext, address: Address, subjects: Subjects) -> str:
    """Create the one consumer, if it is missing; return its name.

    All processes that insert messages without an order key share it.
    """
    transform = (await stream.stream_info(address.stream)).config.subject_transform
    # A stream that an operator has made has no word of its own.
    name = _CONSUMER if transform is None else f"{_CONSUMER}-{transform.dest.split('.')[-2]}"
    await stream.add_consumer(
        address.stream,
        ConsumerConfig(
            durable_name=name,
            filter_subject=subjects.every_any,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_deliver=-1,
            max_ack_pending=_IN_FLIGHT,
        ),
    )
    return name
