"""The action `cloudevents.send`."""

from base64 import b64encode
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from pydantic import Field

from hookline.api import (
    Attachment,
    Connector,
    Context,
    CredentialGoesTo,
    Duration,
    Exposed,
    FromVars,
    JsonValue,
    Reach,
    Reply,
    Response,
    StepError,
    credential_headers,
    encode_json,
)
from hookline_cloudevents.attribute_rules import OPTIONAL, REQUIRED, is_json, problems
from hookline_cloudevents.reference_text import DESCRIPTION, ERRORS, EXAMPLE

connector: Final = Connector(
    "cloudevents",
    title="CloudEvents",
    accepts=("bearer", "basic", "api-key"),
    description=DESCRIPTION,
    errors=ERRORS,
    example=EXAMPLE,
)

_MAX_INLINE: Final = 10_000_000
"""The maximum size of a file in bytes in structured mode."""
#: Characters that headers carry without encoding: printable ones except space, quotation mark and percent sign.
_PLAIN: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')

#: Makes the mark for "no data"; as a factory, it isn't shown in the schema.
_NOT_GIVEN: Any = Field(default_factory=lambda: ...)


@connector.action(idempotent=True)
async def send(
    ctx: Context[Any],
    url: Annotated[
        str,
        Reach("http_url"),
        Exposed(),
        CredentialGoesTo(),
        Field(description="The URL of the receiver; http or https."),
    ],
    type: Annotated[
        str, Field(min_length=1, description="The type of the event, such as `com.example.order.created`.")
    ],
    source: Annotated[
        str,
        Reach("passed_url"),
        Field(min_length=1, description="The source of the event: a URI or a path, such as `/shop`."),
    ],
    data: Annotated[
        Any, Field(description="The data of the event: a JSON value, or a text of another type.")
    ] = _NOT_GIVEN,
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Reach("attachment"),
        Field(description="The data as a file: an attachment of the message, or its name."),
    ] = None,
    id: Annotated[
        str | None,
        Field(
            min_length=1,
            description="The id of the event, by which receivers recognize repetitions; by default the step's "
            "idempotency key.",
        ),
    ] = None,
    subject: Annotated[str | None, Field(description="The subject of the event within its source.")] = None,
    time: Annotated[
        str | None, Field(description="The time of the event, in RFC 3339: `{{ execution.started_at }}`.")
    ] = None,
    datacontenttype: Annotated[
        str | None, Field(description="The data's media type; by default that of JSON, or of the file.")
    ] = None,
    dataschema: Annotated[str | None, Reach("passed_url"), Field(description="The URI of the data's schema.")] = None,
    extensions: Annotated[
        dict[str, str | int | bool | None] | None,
        Reach("request_header"),
        Field(description="Further attributes; one that is null is left out."),
    ] = None,
    mode: Annotated[
        Literal["binary", "structured"],
        Field(
            description="Send the attributes as headers and the data as the body, or the whole event as a JSON body."
        ),
    ] = "binary",
    timeout: Annotated[
        Duration | None, Field(description="The longest time, from the start to the last byte; 30s by default.")
    ] = None,
    key_header: Annotated[
        str,
        FromVars(),
        Reach("request_header"),
        Field(description="The header in which a credential of type `api-key` is sent."),
    ] = "X-API-Key",
) -> Reply:
    """Send a CloudEvent by HTTP.

    The result's body is the response, a JSON value or a text; the result also has its `status`. A status of 400 or
    above is the error `http.<status>`. Unless another is given, the event's id is the step's idempotency key, which is
    the same at each attempt: receivers recognize a repeated event by its source and id.
    """
    attachment = None if file is None else _attachment(ctx, file)
    if attachment is not None and data is not ...:
        raise StepError("an event has either `data` or `file`, not both", code="cloudevents.event")
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": id or ctx.idempotency_key,
        "source": source,
        "type": type,
        "subject": subject,
        "time": time,
        "datacontenttype": datacontenttype,
        "dataschema": dataschema,
    }
    if datacontenttype is None and attachment is not None:
        event["datacontenttype"] = attachment.type
    elif datacontenttype is None and data is not ...:
        event["datacontenttype"] = "application/json"
    for name, value in (extensions or {}).items():
        if name in (*REQUIRED, *OPTIONAL, "data"):
            raise StepError(f"{name!r} is not an extension: it has its own setting", code="cloudevents.event")
        event[name] = value
    event = {name: value for name, value in event.items() if value is not None}
    if wrong := problems(event):
        raise StepError("; ".join(one.message for one in wrong), code="cloudevents.event")
    if data is not ... and not isinstance(data, str) and not is_json(event["datacontenttype"]):
        raise StepError(
            f"data of the type {event['datacontenttype']} must be a text; render it before", code="cloudevents.event"
        )
    seconds = None if timeout is None else timeout.total_seconds()
    headers: dict[str, str] = {}
    if ctx.credential_type is not None:
        headers = credential_headers(ctx.credential_type, ctx.credential, key_header)
    if mode == "structured":
        if attachment is not None:
            event["data_base64"] = await _base64(ctx, attachment)
        elif data is not ...:
            event["data"] = data
        headers["Content-Type"] = "application/cloudevents+json; charset=UTF-8"
        response = await ctx.http.request("POST", url, headers=headers, content=encode_json(event), timeout=seconds)
        return _reply(response)
    for name, value in event.items():
        headers["Content-Type" if name == "datacontenttype" else f"ce-{name}"] = _header(name, value)
    if attachment is not None:
        response = await ctx.http.request("POST", url, headers=headers, file=attachment, timeout=seconds)
    elif data is ...:
        response = await ctx.http.request("POST", url, headers=headers, content=b"", timeout=seconds)
    else:
        content = encode_json(data) if is_json(event["datacontenttype"]) else str(data).encode()
        response = await ctx.http.request("POST", url, headers=headers, content=content, timeout=seconds)
    return _reply(response)


def _header(name: str, value: Any) -> str:
    if name == "datacontenttype":
        return str(value)
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return quote(text, safe=_PLAIN)


def _reply(response: Response) -> Reply:
    kind = response.headers.get("content-type", "")
    body: Any = None
    if response.content:
        body = response.json() if kind and is_json(kind) else response.text
    return Reply(body, response.headers, {"status": response.status})


def _attachment(ctx: Context[Any], wanted: str | dict[str, JsonValue]) -> Attachment:
    """Return an attachment of the message: an id in a message must not open a file of another execution."""
    found = ctx.message.attachments_like(wanted)
    if len(found) == 1:
        return found[0]
    named = ", ".join(repr(one.name) for one in ctx.message.attachments) or "none"
    what = repr(wanted) if isinstance(wanted, str) else "the value of `file`"
    raise StepError(
        f"{what} is {'not an attachment' if not found else 'the name of several attachments'} of the message; "
        f"it has {named}",
        code="cloudevents.file",
    )


async def _base64(ctx: Context[Any], attachment: Attachment) -> str:
    if attachment.size > _MAX_INLINE:
        raise StepError(
            f"the file has {attachment.size} bytes, but an event may have {_MAX_INLINE} at most; send it in binary "
            "mode",
            code="cloudevents.file",
        )
    return b64encode(b"".join([chunk async for chunk in ctx.blobs.open(attachment.id)])).decode()
