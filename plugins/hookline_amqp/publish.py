"""The action `amqp.publish`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypedDict

from pydantic import Field

from hookline.api import Attachment, Context, Duration, JsonValue, StepError, encode_json
from hookline_amqp.connector import AmqpLogin, amqp

MAX_BODY: Final = 128 * 1024 * 1024
"""Bytes: no broker takes more."""
CONFIRM: Final = 30.0
"""Seconds in which a broker has to say that it has a message."""
_SHORT: Final = 255
"""Bytes in a name."""

#: Stands for what isn't given, and is no default that a schema would have to show.
_NOT_GIVEN: Any = Field(default_factory=lambda: ...)


class Published(TypedDict):
    """The result of publishing a message."""

    exchange: str
    routing_key: str
    message_id: str


def _known_by_its_id(_settings: Mapping[str, Any]) -> bool | None:
    """Return None: only the consumers know if they recognize a message that is published twice."""
    return None


@amqp.action(idempotent=_known_by_its_id)
async def publish(
    ctx: Context[AmqpLogin],
    routing_key: Annotated[
        str, Field(description="The routing key; with the default exchange it is the name of the queue.")
    ] = "",
    exchange: Annotated[
        str, Field(description="The exchange; by default the default exchange, which goes to a queue.")
    ] = "",
    json: Annotated[
        Any, Field(description="The body as a JSON value; by default the message's own body.")
    ] = _NOT_GIVEN,
    text: Annotated[str | None, Field(description="The body as text.")] = None,
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Field(description="The body as a file: one of the message's attachments, or its name."),
    ] = None,
    content_type: Annotated[str | None, Field(description="The body's type; by default that of what it is.")] = None,
    message_id: Annotated[
        str | None,
        Field(min_length=1, description="Its id; by default the step's idempotency key, the same at each attempt."),
    ] = None,
    headers: Annotated[dict[str, JsonValue] | None, Field(description="Headers of the application.")] = None,
    persistent: Annotated[bool, Field(description="Whether the broker keeps it over its own restart.")] = True,
    mandatory: Annotated[bool, Field(description="Whether it is an error that no queue gets the message.")] = True,
    type: Annotated[str | None, Field(description="What kind of message it is.")] = None,
    correlation_id: Annotated[str | None, Field(description="What it belongs to.")] = None,
    reply_to: Annotated[str | None, Field(description="The queue in which an answer is expected.")] = None,
    priority: Annotated[
        int | None, Field(ge=0, le=255, description="The greater the sooner, in queues that know it.")
    ] = None,
    expiration: Annotated[Duration | None, Field(description="For how long it is worth anything in a queue.")] = None,
    app_id: Annotated[str | None, Field(description="Who sends it.")] = None,
) -> Published:
    """Publish a message.

    The step ends once the broker has confirmed that it has the message. One that is tried again after its confirmation
    got lost is published a second time, with the same message id, by which a consumer knows it: the trigger
    `amqp.messages` starts nothing for it.

    Errors: `amqp.unroutable` where no queue gets it, `amqp.not_found` where there is no such exchange, `amqp.access`,
    `amqp.precondition`, `amqp.auth`; and, after which it is tried again, `amqp.connection`, `amqp.timeout` and
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
    async with publisher.channel(exchange, known_by, len(data)) as channel:
        with told(ctx.credential.shown, sent=True):
            to = channel.default_exchange if not exchange else await channel.get_exchange(exchange, ensure=False)
            await to.publish(message, routing_key, mandatory=mandatory, timeout=CONFIRM)
    return {"exchange": exchange, "routing_key": routing_key, "message_id": known_by}


async def _body(
    ctx: Context[AmqpLogin], json: Any, text: str | None, file: str | dict[str, JsonValue] | None
) -> tuple[bytes, str]:
    """The bytes of a body, and their type."""
    given = [
        name
        for name, there in (("json", json is not ...), ("text", text is not None), ("file", file is not None))
        if there
    ]
    if len(given) > 1:
        raise StepError(f"a message has one body, and this one has {' and '.join(given)}", code="amqp.body")
    if file is not None:
        attachment = _attachment(ctx, file)
        if attachment.size > MAX_BODY:
            raise StepError(f"the file has {attachment.size} bytes; a message takes {MAX_BODY}", code="amqp.too_large")
        chunks = [chunk async for chunk in ctx.blobs.open(attachment.id)]
        return b"".join(chunks), attachment.type
    if text is not None:
        return text.encode(), "text/plain; charset=utf-8"
    return encode_json(ctx.message.body if json is ... else json), "application/json"


def _attachment(ctx: Context[AmqpLogin], wanted: str | dict[str, JsonValue]) -> Attachment:
    """One of the message's own: an id that a message brings along opens no other execution's file."""
    found = ctx.message.attachments_like(wanted)
    if len(found) != 1:
        named = ", ".join(repr(each.name) for each in ctx.message.attachments) or "none"
        what = repr(wanted) if isinstance(wanted, str) else "what `file` gives"
        problem = "the name of several attachments" if found else "no attachment"
        raise StepError(f"{what} is {problem} of the message; it has {named}", code="amqp.file")
    return found[0]


def _table(values: Mapping[str, JsonValue]) -> dict[str, Any]:
    for name in values:
        if len(name.encode()) > _SHORT:
            raise ValueError(f"the header {name[:40]!r}… has a name of more than {_SHORT} bytes")
    return {name: _header(value) for name, value in values.items()}


def _header(value: JsonValue) -> Any:
    """A header's value as AMQP has them: whole numbers up to 64 bits, fractions of double precision."""
    match value:
        case dict():
            return _table(value)
        case list():
            return [_header(each) for each in value]
        case str() | bool() | None:
            return value
        case int():
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"{value} has more than 64 bits, and is no header")
            return value
        case _:
            return float(value)
