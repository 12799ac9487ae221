"""The trigger `cloudevents`: events by HTTP, in binary, structured and batched mode."""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from email.message import Message as Header
from typing import Annotated, Any, Final, Self
from urllib.parse import unquote_to_bytes

from pydantic import Field, StringConstraints, model_validator

from hookline.api import (
    Attachment,
    BodyMode,
    IncomingMessage,
    Malformed,
    NewFile,
    ParsedRequest,
    Problem,
    Reach,
    RequestTrigger,
    TooLarge,
    UnsupportedMedia,
    WebhookResponse,
    WebhookSettings,
    decode_json,
    encode_json,
    known_charset,
)
from hookline_cloudevents.attribute_rules import MOST_PROBLEMS, is_json, is_text, problems

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
_FORMATS: Final = "application/cloudevents"
_PREFIX: Final = "ce-"
_LONGEST_TYPE: Final = 1000
_ORIGIN: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")

Pattern = Annotated[str, StringConstraints(pattern=r"^[^*]*\*?$", min_length=1)]
"""A text, or its beginning followed by `*`."""


class CloudEventsSettings(WebhookSettings):
    """The settings of the webhook, and the events that the flow accepts."""

    types: tuple[Pattern, ...] | None = Field(
        default=None,
        min_length=1,
        description="The types of events that start the flow, such as `com.example.order.*`; all by default. Others "
        "are accepted, but start nothing.",
    )
    sources: tuple[Pattern, ...] | None = Field(
        default=None, min_length=1, description="The sources of events that start the flow; all by default."
    )
    origins: Annotated[tuple[Annotated[str, StringConstraints(min_length=1)], ...], Reach("response_header")] = Field(
        default=("*",),
        min_length=1,
        description="The hosts that may send, for senders that ask first (`WebHook-Request-Origin`); `*` means all. "
        "It doesn't verify senders; `verify` does.",
    )
    max_events: int = Field(default=1000, ge=1, le=1000, description="The maximum number of events in a batch.")

    @model_validator(mode="after")
    def _reads_events(self) -> Self:
        if "GET" in self.methods:
            raise ValueError("events can't be sent by GET; remove it from `methods`")
        if self.body != "auto" or self.nested or self.json_fields or self.force_list:
            raise ValueError("an event determines how it is read; remove body, nested, json_fields and force_list")
        return self


def body_mode(media_type: str, _settings: CloudEventsSettings) -> BodyMode:
    """Return the mode of reading a body: events and JSON as JSON, texts as texts, and anything else as a file."""
    if media_type.startswith(_FORMATS):
        return "auto" if media_type in (STRUCTURED, BATCH) else "raw"
    if is_json(media_type):
        return "json"
    return "text" if is_text(media_type) else "raw"


def read(request: ParsedRequest, settings: CloudEventsSettings) -> Sequence[IncomingMessage]:
    """Return the events of a request that the flow accepts. Raises Malformed with the problems of the events."""
    media_type = request.media_type
    found: list[Problem] = []
    if media_type == BATCH:
        if not isinstance(request.body, list):
            raise Malformed("a batch must be a list of events", problems=[Problem("it is not a list", "", "invalid")])
        if len(request.body) > settings.max_events:
            raise TooLarge(f"the batch has {len(request.body)} events, but may have {settings.max_events}")
        made = []
        for index, event in enumerate(request.body):
            made.append(_structured(event, f"/{index}", settings, found))
            if len(found) >= MOST_PROBLEMS:
                break
    elif media_type == STRUCTURED:
        made = [_structured(request.body, "", settings, found)]
    elif media_type.startswith(_FORMATS):
        raise UnsupportedMedia(f"events must be {STRUCTURED} or {BATCH}, not {media_type[:100]}")
    else:
        made = [_binary(request, found)]
    if found:
        raise Malformed("The event is malformed." if media_type != BATCH else "The batch is malformed.", problems=found)
    return [one for one in made if one is not None and _wanted(one.body, settings)]


def options(headers: Mapping[str, str], settings: CloudEventsSettings) -> WebhookResponse | None:
    """Return the permission that a sender requests before it sends events (HTTP 1.1 Web Hooks for Event Delivery)."""
    origin = headers.get("webhook-request-origin")
    if origin is None:
        return None
    origin = origin.strip()
    everybody = "*" in settings.origins
    if not _ORIGIN.fullmatch(origin) or not (everybody or origin.lower() in map(str.lower, settings.origins)):
        return WebhookResponse(403)
    allow = ", ".join(("OPTIONS", *settings.methods))
    rate = "*" if settings.client_rate is None else _per_minute(settings.client_rate)
    return WebhookResponse(
        200,
        headers=[("Allow", allow), ("WebHook-Allowed-Origin", origin), ("WebHook-Allowed-Rate", rate)],
    )


def _per_minute(rate: str) -> str:
    count, _, unit = rate.partition("/")
    return str({"s": int(count) * 60, "m": int(count), "h": max(1, int(count) // 60)}[unit])


def _wanted(event: Mapping[str, Any], settings: CloudEventsSettings) -> bool:
    return _matches(event["type"], settings.types) and _matches(event["source"], settings.sources)


def _matches(value: str, patterns: tuple[str, ...] | None) -> bool:
    return patterns is None or any(
        value.startswith(one[:-1]) if one.endswith("*") else value == one for one in patterns
    )


def _structured(given: Any, at: str, settings: CloudEventsSettings, found: list[Problem]) -> IncomingMessage | None:
    if not isinstance(given, dict):
        found.append(Problem("an event must be an object", at, "invalid"))
        return None
    wrong = problems(given, at)
    event = {name: value for name, value in given.items() if value is not None or name == "data"}
    encoded = event.pop("data_base64", None)
    files: tuple[NewFile, ...] = ()
    if encoded is not None and not wrong:
        event.pop("data", None)
        try:
            content = b64decode(encoded, validate=True) if isinstance(encoded, str) else None
        except (binascii.Error, ValueError):
            content = None
        if content is None:
            wrong.append(Problem("it is not base64", f"{at}/data_base64", "invalid"))
        else:
            files = _data(event, content, at, settings, wrong)
    found += wrong
    return None if wrong else _incoming(event, files=files)


def _data(
    event: dict[str, Any], content: bytes, at: str, settings: CloudEventsSettings, wrong: list[Problem]
) -> tuple[NewFile, ...]:
    """Add an event's data according to its type, as in binary mode: as a value, or else as a file."""
    media_type = event.get("datacontenttype")
    if media_type is not None and is_json(media_type):
        try:
            event["data"] = decode_json(content, exact=settings.numbers == "exact")
        except (ValueError, RecursionError) as error:
            wrong.append(Problem(f"it is not JSON: {error}", f"{at}/data_base64", "invalid"))
    elif media_type is not None and is_text(media_type):
        try:
            event["data"] = content.decode(_charset(media_type))
        except (LookupError, UnicodeError):
            wrong.append(Problem("it is not text in its charset", f"{at}/data_base64", "invalid"))
    else:
        return (NewFile("data", _plain(media_type or "application/octet-stream"), content),)
    return ()


def _charset(media_type: str) -> str:
    header = Header()
    header["content-type"] = media_type[:_LONGEST_TYPE]
    return known_charset(header.get_content_charset() or "utf-8") or "unknown"


def _plain(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _binary(request: ParsedRequest, found: list[Problem]) -> IncomingMessage | None:
    event: dict[str, Any] = {}
    names = [name for name, _ in request.headers]
    for name, value in request.headers:
        attribute = name.removeprefix(_PREFIX)
        if attribute == name or attribute == "datacontenttype":
            # The type of the data is in the Content-Type.
            continue
        if attribute == "data":
            found.append(Problem("an event's data must be the body, not a header", "/data", "invalid"))
        elif names.count(name) > 1:
            if attribute not in event:
                found.append(Problem(f"the header {name} is given several times", f"/{attribute}", "invalid"))
            event[attribute] = value
        else:
            text = _header_text(value)
            if text is None:
                found.append(Problem(f"the header {name} is not UTF-8", f"/{attribute}", "invalid"))
            event[attribute] = value if text is None else text
    if request.content_type is not None:
        event["datacontenttype"] = request.content_type
    found += problems(event)
    if found:
        if not any(name.startswith(_PREFIX) for name in names):
            found[:] = [
                Problem(
                    f"there are no headers ce-…, and the content type is not one of events: {request.media_type[:100]}",
                    "",
                    "no_event",
                    f"send headers ce-id, ce-source, ce-specversion and ce-type, or an event as {STRUCTURED}",
                )
            ]
        return None
    attachments = tuple(
        Attachment(one.id, "data", one.filename, one.type, one.size, one.sha256)
        for one in request.attachments
        if one.size
    )
    if not attachments and _has_body(request):
        event["data"] = request.body
    return _incoming(event, attachments)


def _has_body(request: ParsedRequest) -> bool:
    """Return true if the request has a body; JSON's null counts as one."""
    if request.body not in (None, ""):
        return True
    said = {name: value for name, value in request.headers if name in ("content-length", "transfer-encoding")}
    return request.body is None and ("transfer-encoding" in said or said.get("content-length", "0") != "0")


def _header_text(value: str) -> str | None:
    """Return the text of a header, which may be percent-encoded; None if it is not UTF-8."""
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _incoming(
    event: dict[str, Any], attachments: tuple[Attachment, ...] = (), files: tuple[NewFile, ...] = ()
) -> IncomingMessage:
    # Both together identify an event.
    return IncomingMessage(event, encode_json([event["source"], event["id"]]).decode(), attachments, files)


cloudevents: Final = RequestTrigger(
    name="cloudevents",
    title="CloudEvents",
    settings=CloudEventsSettings,
    summary="Starts an execution for each CloudEvent that is sent to `/hook/<flow id>`.",
    description="Starts an execution for each CloudEvent that is sent to `/hook/<flow id>`.\n\n"
    "Events are in binary mode (`ce-…` headers), in structured mode (`application/cloudevents+json`), or several at "
    "once (`application/cloudevents-batch+json`). In each case, the message's body is the event: `specversion`, `id`, "
    "`source`, `type`, its other attributes, and `data`, which is a JSON value, a text, or the attachment `data`. A "
    "repeated event, with the same source and id, starts nothing.",
    read=read,
    body_mode=body_mode,
    options=options,
)
