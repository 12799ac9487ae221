"""Converting a broker's message to a message of the flow."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from aio_pika.abc import AbstractIncomingMessage

from hookline.api import BrokerMessage, Payload, encode_json, known_charset

_PROPERTIES = (
    "content_type",
    "content_encoding",
    "message_id",
    "correlation_id",
    "reply_to",
    "type",
    "app_id",
    "user_id",
    "priority",
    "timestamp",
)


def as_delivery(
    message: AbstractIncomingMessage, rejected: Literal["reject", "acknowledge"], exact: bool
) -> BrokerMessage:
    """Return a message together with its acknowledgement."""

    async def reject(_why: str) -> None:
        await message.reject(requeue=False)

    return BrokerMessage(
        _payload(message),
        id=message.message_id,
        headers=_headers(message),
        accepted=message.ack,
        rejected=reject if rejected == "reject" else None,
    )


def _payload(message: AbstractIncomingMessage) -> Payload:
    content_type, encoding = message.content_type or None, message.content_encoding
    if encoding and encoding.lower() not in ("identity", "binary"):
        charset = known_charset(encoding)
        if charset is None:
            # For example compressed: its bytes are not text of that type.
            return Payload(message.body, "application/octet-stream")
        if content_type is not None and "charset" not in content_type.lower():
            content_type = f"{content_type}; charset={charset}"
    return Payload(message.body, content_type)


def _headers(message: AbstractIncomingMessage) -> dict[str, str]:
    made = {str(name): _text(value) for name, value in (message.headers or {}).items()}
    for name in _PROPERTIES:
        value = getattr(message, name)
        # The library has 0 if there is no priority.
        if value not in (None, "", 0):
            made[name.replace("_", "-")] = _text(value)
    if message.expiration is not None:
        made["expiration"] = _text(message.expiration)
    # Last, so that a sender's header can't replace one of these.
    made = {name: value for name, value in made.items() if not name.lower().startswith("amqp-")}
    made["amqp-exchange"] = message.exchange or ""
    made["amqp-routing-key"] = message.routing_key or ""
    made["amqp-redelivered"] = "true" if message.redelivered else "false"
    return made


def _text(value: Any) -> str:
    """Return a header's value as text: a table or a list as JSON."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case bytes() | bytearray():
            return bytes(value).decode("utf-8", "replace")
        case datetime() | date():
            return value.isoformat()
        case Mapping() | list() | tuple():
            return encode_json(_plain(value)).decode()
        case None:
            return ""
        case _:
            return str(value)


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case int() | float() | None:
            return value
        case Decimal():
            return str(value)
        case _:
            return _text(value)
