"""The action `mqtt.publish`."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypedDict

from pydantic import Field

from hookline.api import Attachment, Context, Duration, Exposed, JsonValue, StepError, encode_json
from hookline_mqtt.connector import MqttLogin, mqtt
from hookline_mqtt.topics import wrong_topic

MAX_BODY: Final = 256 * 1024 * 1024 - 1
"""Bytes: the most that MQTT can say."""
ID_PROPERTY: Final = "message-id"
"""The user property in which a message has its id."""

#: Stands for what isn't given, and is no default that a schema would have to show.
_NOT_GIVEN: Any = Field(default_factory=lambda: ...)


class Published(TypedDict):
    """The result of publishing a message."""

    topic: str
    message_id: str


def _known_by_its_id(_settings: Mapping[str, Any]) -> bool | None:
    """Return None: only the receivers know if they recognize a message that is published twice."""
    return None


@mqtt.action(idempotent=_known_by_its_id)
async def publish(
    ctx: Context[MqttLogin],
    topic: Annotated[str, Exposed(), Field(description="The topic, such as `rooms/7/heating`.")],
    json: Annotated[
        Any, Field(description="The body as a JSON value; by default the message's own body.")
    ] = _NOT_GIVEN,
    text: Annotated[str | None, Field(description="The body as text.")] = None,
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Field(description="The body as a file: one of the message's attachments, or its name."),
    ] = None,
    qos: Annotated[
        Literal[0, 1, 2],
        Field(description="How surely it arrives: 0 is at most once, 1 at least once, 2 once, as far as the broker."),
    ] = 1,
    retain: Annotated[
        bool, Field(description="Whether the broker keeps it as the topic's last, for those who subscribe later.")
    ] = False,
    content_type: Annotated[str | None, Field(description="The body's type; by default that of what it is.")] = None,
    message_id: Annotated[
        str | None,
        Field(min_length=1, description="Its id; by default the step's idempotency key, the same at each attempt."),
    ] = None,
    properties: Annotated[dict[str, str] | None, Field(description="Further user properties.")] = None,
    response_topic: Annotated[str | None, Field(description="The topic under which an answer is expected.")] = None,
    correlation_data: Annotated[str | None, Field(description="What the answer is to bring along.")] = None,
    expiry: Annotated[
        Duration | None, Field(description="How long the broker keeps it for those who are away.")
    ] = None,
) -> Published:
    """Publish a message.

    With `qos` 1 and 2 the step ends once the broker has confirmed that it has the message; with 0 it ends as soon as
    the message is sent. The id stands in the user property `message-id`, by which a receiver knows a message that comes
    a second time, since its confirmation got lost: the trigger `mqtt.messages` starts nothing for it. MQTT 3.1.1 knows
    no properties: the id, the type and what else is one aren't sent then.

    Errors: `mqtt.topic`, `mqtt.access`, `mqtt.auth`, `mqtt.rejected`; and, after which it is tried again,
    `mqtt.connection` and `mqtt.timeout`.
    """
    from paho.mqtt import MQTTException
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    from hookline_mqtt.publishers import Publishers

    for name, given in (("topic", topic), ("response_topic", response_topic)):
        if given is not None and (wrong := wrong_topic(given)) is not None:
            raise StepError(f"{name} {given[:100]!r}: {wrong}", code="mqtt.topic")
    data, its_type = await _body(ctx, json, text, file)
    known_by = message_id or ctx.idempotency_key
    made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # the library has no types there
    try:
        made.ContentType = content_type or its_type
        made.UserProperty = [(ID_PROPERTY, known_by), *(properties or {}).items()]
        if response_topic is not None:
            made.ResponseTopic = response_topic
        if correlation_data is not None:
            made.CorrelationData = correlation_data.encode()
        if expiry is not None:
            made.MessageExpiryInterval = min(max(1, int(expiry.total_seconds())), 0xFFFFFFFF)
        made.pack()  # type: ignore[no-untyped-call]  # nor here
    except (MQTTException, UnicodeError, ValueError) as error:
        raise StepError(f"the message can't be written: {error}", code="mqtt.rejected") from error
    publisher = await ctx.resources.get(Publishers).of(ctx.credential)
    publisher.used += 1
    try:
        connection = await publisher.connection()
        await connection.publish(topic, data, qos, retain, made if connection.version5 else None)
    finally:
        publisher.used -= 1
    return {"topic": topic, "message_id": known_by}


async def _body(
    ctx: Context[MqttLogin], json: Any, text: str | None, file: str | dict[str, JsonValue] | None
) -> tuple[bytes, str]:
    """The bytes of a body, and their type."""
    given = [
        name
        for name, there in (("json", json is not ...), ("text", text is not None), ("file", file is not None))
        if there
    ]
    if len(given) > 1:
        raise StepError(f"a message has one body, and this one has {' and '.join(given)}", code="mqtt.body")
    if file is not None:
        attachment = _attachment(ctx, file)
        if attachment.size > MAX_BODY:
            raise StepError(f"the file has {attachment.size} bytes; a message takes {MAX_BODY}", code="mqtt.too_large")
        return b"".join([chunk async for chunk in ctx.blobs.open(attachment.id)]), attachment.type
    if text is not None:
        return text.encode(), "text/plain; charset=utf-8"
    return encode_json(ctx.message.body if json is ... else json), "application/json"


def _attachment(ctx: Context[MqttLogin], wanted: str | dict[str, JsonValue]) -> Attachment:
    """One of the message's own: an id that a message brings along opens no other execution's file."""
    found = ctx.message.attachments_like(wanted)
    if len(found) != 1:
        named = ", ".join(repr(each.name) for each in ctx.message.attachments) or "none"
        what = repr(wanted) if isinstance(wanted, str) else "what `file` gives"
        problem = "the name of several attachments" if found else "no attachment"
        raise StepError(f"{what} is {problem} of the message; it has {named}", code="mqtt.file")
    return found[0]
