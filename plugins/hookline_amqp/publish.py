"""The action `amqp.publish`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypedDict

from pydantic import Field

from hookline.api import Attachment, Context, Duration, JsonValue, Reach, StepError, encode_json
from hookline_amqp.connector import AmqpLogin, amqp

MAX_BODY: Final = 128 * 1024 * 1024
"""The maximum size of a body in bytes; no broker accepts more."""
CONFIRM: Final = 30.0
"""Seconds within which the broker must confirm a message."""
_SHORT: Final = 255
"""The maximum number of bytes in a name."""

#: Makes the mark for "not given"; as a factory, it isn't shown in the schema.
_NOT_GIVEN: Any = Field(default_factory=lambda: ...)


class Published(TypedDict):
    """The result of publishing a message."""

    exchange: str
    routing_key: str
    message_id: str


def _known_by_its_id(_settings: Mapping[str, Any]) -> bool | None:
    """Return None: only the consumers know if they recognize a repeated message."""
    return None


@amqp.action(idempotent=_known_by_its_id)
async def publish(
    ctx: Context[AmqpLogin],
    routing_key: Annotated[
        str,
        Reach("broker"),
        Field(description="The routing key; for the default exchange, it is the name of the queue."),
    ] = "",
    exchange: Annotated[
        str,
        Reach("broker"),
        Field(
            description="The exchange; by default the default exchange, which routes to the queue named by the "
            "routing key."
        ),
    ] = "",
    json: Annotated[
        Any, Field(description="The body as a JSON value; by default the message's own body.")
    ] = _NOT_GIVEN,
    text: Annotated[str | None, Field(description="The body as text.")] = None,
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Reach("attachment"),
        Field(description="The body as a file: an attachment of the message, or its name."),
    ] = None,
    content_type: Annotated[str | None, Field(description="The content type; by default that of the body.")] = None,
    message_id: Annotated[
        str | None,
        Field(
            min_length=1,
            description="The message id; by default the step's idempotency key, which is the same at each attempt.",
        ),
    ] = None,
    headers: Annotated[
        dict[str, JsonValue] | None, Reach("request_header"), Field(description="The headers of the message.")
    ] = None,
    persistent: Annotated[bool, Field(description="True if the message survives a restart of the broker.")] = True,
    mandatory: Annotated[bool, Field(description="Fail if no queue gets the message.")] = True,
    type: Annotated[str | None, Field(description="The kind of message, as a name for consumers.")] = None,
    correlation_id: Annotated[
        str | None, Field(description="The correlation id, such as the id of a request that it answers.")
    ] = None,
    reply_to: Annotated[str | None, Reach("broker"), Field(description="The queue for answers.")] = None,
    priority: Annotated[
        int | None,
        Field(ge=0, le=255, description="The priority: in queues with priorities, greater ones are delivered first."),
    ] = None,
    expiration: Annotated[
        Duration | None, Field(description="The time after which the message expires in a queue.")
    ] = None,
    app_id: Annotated[str | None, Field(description="The name of the application that publishes it.")] = None,
) -> Published:
    """Publish a message.

    The step ends when the broker has confirmed the message. If the confirmation is lost, a retry publishes it again
    with the same message id, by which consumers can recognize it: the trigger `amqp.messages` starts nothing for it.

    Errors: `amqp.unroutable` if no queue gets it, `amqp.not_found` if the exchange doesn't exist, `amqp.access`,
    `amqp.precondition`, `amqp.auth`; and, after which the step is retried, `amqp.connection`, `amqp.timeout` and
    `amqp.rejected`.
    """
    import aio_pika

    from hookline_amqp.failures import told
    from hookline_amqp.publishers import Publishers

    data, its_type = await _body(ctx, json, text, file)
    known_by = message_id or ctx.idempotency_key
    for name, value in {"exchange": exchange, "routing_key": routing_key, "message_id": known_by}.items():
        if len(value.encode()) > _SHORT:
            raise StepError(f"{name!r} has more than {_SHORT} bytes", code="amqp.invalid")
    try:
        message = aio_pika.Message(
            data,
            headers=_table(headers or {}),
            content_type=content_type or its_type,
            message_id=known_by,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT if persistent else aio_pika.DeliveryMode.NOT_PERSISTENT,
            type=type,
            correlation_id=correlation_id,
            reply_to=reply_to,
            priority=priority,
            expiration=expiration,
            app_id=app_id,
            timestamp=datetime.now(UTC),
        )
        message.properties.marshal()
    except (TypeError, ValueError) as error:
        raise StepError(f"the message can't be written: {error}", code="amqp.invalid") from error
    publisher = await ctx.resources.get(Publishers).of(ctx.credential)
    async with publisher.channel(ctx.resources, exchange, known_by, len(data)) as channel:
        with told(ctx.credential.shown, sent=True):
            to = channel.default_exchange if not exchange else await channel.get_exchange(exchange, ensure=False)
            await to.publish(message, routing_key, mandatory=mandatory, timeout=CONFIRM)
    return {"exchange": exchange, "routing_key": routing_key, "message_id": known_by}


async def _body(
    ctx: Context[AmqpLogin], json: Any, text: str | None, file: str | dict[str, JsonValue] | None
) -> tuple[bytes, str]:
    """Return the bytes of the body, and their type."""
    given = [
        name
        for name, there in (("json", json is not ...), ("text", text is not None), ("file", file is not None))
        if there
    ]
    if len(given) > 1:
        raise StepError(f"a message has one body, but this one has {' and '.join(given)}", code="amqp.body")
    if file is not None:
        attachment = _attachment(ctx, file)
        if attachment.size > MAX_BODY:
            raise StepError(
                f"the file has {attachment.size} bytes; a message may have {MAX_BODY}", code="amqp.too_large"
            )
        chunks = [chunk async for chunk in ctx.blobs.open(attachment.id)]
        return b"".join(chunks), attachment.type
    if text is not None:
        return text.encode(), "text/plain; charset=utf-8"
    return encode_json(ctx.message.body if json is ... else json), "application/json"


def _attachment(ctx: Context[AmqpLogin], wanted: str | dict[str, JsonValue]) -> Attachment:
    """Return one of the message's own: an id in a message must not open a file of another execution."""
    found = ctx.message.attachments_like(wanted)
    if len(found) != 1:
        named = ", ".join(repr(each.name) for each in ctx.message.attachments) or "none"
        what = repr(wanted) if isinstance(wanted, str) else "the value of `file`"
        problem = "the name of several attachments" if found else "not an attachment"
        raise StepError(f"{what} is {problem} of the message; it has {named}", code="amqp.file")
    return found[0]


def _table(values: Mapping[str, JsonValue]) -> dict[str, Any]:
    for name in values:
        if len(name.encode()) > _SHORT:
            raise ValueError(f"the header {name[:40]!r}… has a name of more than {_SHORT} bytes")
    return {name: _header(value) for name, value in values.items()}


def _header(value: JsonValue) -> Any:
    """Return a header's value for AMQP: whole numbers up to 64 bits, fractions in double precision."""
    match value:
        case dict():
            return _table(value)
        case list():
            return [_header(each) for each in value]
        case str() | bool() | None:
            return value
        case int():
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"{value} has more than 64 bits, so it can't be a header")
            return value
        case _:
            return float(value)
