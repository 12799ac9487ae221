"""The action `mqtt.publish`."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypedDict

from pydantic import Field

from hookline.api import Attachment, Context, Duration, Exposed, JsonValue, Reach, StepError, encode_json
from hookline_mqtt.connector import MqttLogin, mqtt
from hookline_mqtt.topics import wrong_topic

MAX_BODY: Final = 256 * 1024 * 1024 - 1
"""The maximum size of a body in bytes: the limit of MQTT."""
ID_PROPERTY: Final = "message-id"
"""The user property with the id of a message."""

#: Makes the mark for "not given"; as a factory, it isn't shown in the schema.
_NOT_GIVEN: Any = Field(default_factory=lambda: ...)


class Published(TypedDict):
    """The result of publishing a message."""

    topic: str
    message_id: str


def _known_by_its_id(_settings: Mapping[str, Any]) -> bool | None:
    """Return None: only the receivers know if they recognize a repeated message."""
    return None


@mqtt.action(idempotent=_known_by_its_id)
async def publish(
    ctx: Context[MqttLogin],
    topic: Annotated[str, Reach("broker"), Exposed(), Field(description="The topic, such as `rooms/7/heating`.")],
    json: Annotated[
        Any, Field(description="The body as a JSON value; by default the message's own body.")
    ] = _NOT_GIVEN,
    text: Annotated[str | None, Field(description="The body as text.")] = None,
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Reach("attachment"),
        Field(description="The body as a file: an attachment of the message, or its name."),
    ] = None,
    qos: Annotated[
        Literal[0, 1, 2],
        Field(description="The quality of delivery to the broker: 0 is at most once, 1 at least once, 2 exactly once."),
    ] = 1,
    retain: Annotated[
        bool, Field(description="True if the broker keeps it as the topic's last message, for later subscribers.")
    ] = False,
    content_type: Annotated[str | None, Field(description="The content type; by default that of the body.")] = None,
    message_id: Annotated[
        str | None,
        Field(
            min_length=1,
            description="The message id; by default the step's idempotency key, which is the same at each attempt.",
        ),
    ] = None,
    properties: Annotated[
        dict[str, str] | None, Reach("request_header"), Field(description="Further user properties.")
    ] = None,
    response_topic: Annotated[str | None, Reach("broker"), Field(description="The topic for answers.")] = None,
    correlation_data: Annotated[str | None, Field(description="The data that an answer must repeat.")] = None,
    expiry: Annotated[
        Duration | None, Field(description="The time for which the broker keeps it for disconnected subscribers.")
    ] = None,
) -> Published:
    """Publish a message.

    For `qos` 1 and 2, the step ends when the broker has confirmed the message; for 0, when the message is sent. The
    user property `message-id` has the id, by which receivers can recognize a message that is repeated after its
    confirmation was lost: the trigger `mqtt.messages` starts nothing for it. MQTT 3.1.1 has no properties, so the id,
    the type and other properties aren't sent.

    Errors: `mqtt.topic`, `mqtt.access`, `mqtt.auth`, `mqtt.rejected`; and, after which the step is retried,
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
        connection = await publisher.connection(ctx.resources)
        await connection.publish(topic, data, qos, retain, made if connection.version5 else None)
    finally:
        publisher.used -= 1
    return {"topic": topic, "message_id": known_by}


async def _body(
    ctx: Context[MqttLogin], json: Any, text: str | None, file: str | dict[str, JsonValue] | None
) -> tuple[bytes, str]:
    """Return the bytes of the body, and their type."""
    given = [
        name
        for name, there in (("json", json is not ...), ("text", text is not None), ("file", file is not None))
        if there
    ]
    if len(given) > 1:
        raise StepError(f"a message has one body, but this one has {' and '.join(given)}", code="mqtt.body")
    if file is not None:
        attachment = _attachment(ctx, file)
        if attachment.size > MAX_BODY:
            raise StepError(
                f"the file has {attachment.size} bytes; a message may have {MAX_BODY}", code="mqtt.too_large"
            )
        return b"".join([chunk async for chunk in ctx.blobs.open(attachment.id)]), attachment.type
    if text is not None:
        return text.encode(), "text/plain; charset=utf-8"
    return encode_json(ctx.message.body if json is ... else json), "application/json"


def _attachment(ctx: Context[MqttLogin], wanted: str | dict[str, JsonValue]) -> Attachment:
    """Return one of the message's own: an id in a message must not open a file of another execution."""
    found = ctx.message.attachments_like(wanted)
    if len(found) != 1:
        named = ", ".join(repr(each.name) for each in ctx.message.attachments) or "none"
        what = repr(wanted) if isinstance(wanted, str) else "the value of `file`"
        problem = "the name of several attachments" if found else "not an attachment"
        raise StepError(f"{what} is {problem} of the message; it has {named}", code="mqtt.file")
    return found[0]
