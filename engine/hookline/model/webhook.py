"""The settings of a webhook: the requests that it accepts, and the verification of their sender."""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    create_model,
    model_validator,
)

from hookline.model.durations import Duration
from hookline.model.expression_setting_types import ObjectExpression, TextExpression
from hookline.model.reach import Reach

Method = Literal["GET", "POST", "PUT", "PATCH"]
CallMethod = Literal["POST", "PUT", "PATCH"]
"""The methods that resume a flow. GET doesn't, since programs that follow links must not resume it."""
BodyMode = Literal["auto", "json", "text", "raw"]
"""The reading of a body: by its media type, or as JSON, as text, or as a file."""
NumbersMode = Literal["binary", "exact"]
MediaRange = Annotated[str, StringConstraints(pattern=r"^[^/\s;,]+/[^/\s;,]+$")]
"""A pattern of media types: `image/png`, `image/*` or `*/*`."""


def takes(media_types: tuple[str, ...], media_type: str) -> bool:
    """Return true if one of the patterns covers a type: `application/json`, `text/*` or `*/*`."""
    main = media_type.partition("/")[0]
    return any(wanted.lower() in (media_type, f"{main}/*", "*/*") for wanted in media_types)


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t\x20-\x7e\x80-\xff]*$")]


_SERVER_HEADERS: Final = frozenset(
    {
        *("content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer", "te"),
        *("proxy-connection", "proxy-authenticate", "proxy-authentication-info", "http2-settings"),
        *("date", "x-content-type-options", "content-security-policy"),
    }
)
_ORIGIN_HEADERS: Final = frozenset(
    {
        # A flow's cookie could replace an operator's, and so end or take over the session.
        *("set-cookie", "set-cookie2", "set-login", "clear-site-data", "sec-session-registration"),
        *("strict-transport-security", "public-key-pins", "expect-ct", "alt-svc", "origin-agent-cluster"),
        *("nel", "report-to", "reporting-endpoints", "content-security-policy-report-only"),
        *("service-worker-allowed", "speculation-rules", "use-as-dictionary", "accept-ch", "critical-ch"),
    }
)
"""Headers that affect other pages of the server in a browser, and not only the response."""
_PROXY_HEADERS: Final = ("x-accel-", "x-sendfile", "x-lighttpd-", "x-litespeed-", "x-reproxy-", "x-middleware-")
"""The beginnings of headers by which a proxy in front sends a file or a response of its own, instead of this one."""
_STEERING_HEADERS: Final = frozenset(
    {
        *("refresh", "location", "content-location", "link", "sourcemap", "x-sourcemap", "x-dns-prefetch-control"),
        *("content-encoding", "www-authenticate", "authentication-info", "early-data", "surrogate-control"),
        *("cdn-cache-control", "surrogate-key", "cache-tag", "x-frame-options", "x-xss-protection", "referrer-policy"),
        *("permissions-policy", "feature-policy", "document-policy", "require-document-policy", "integrity-policy"),
        *("timing-allow-origin", "x-permitted-cross-domain-policies", "no-vary-search", "supports-loading-mode"),
    }
)
_STEERING_PREFIXES: Final = ("access-control-", "cross-origin-")
_SERVER_PREFIX: Final = "hookline-"


def is_server_header(name: str) -> bool:
    """Return true for a response header that a flow can't set: it frames the body, names the execution, keeps a browser
    from running the content as a page of the server, affects other pages of the server, or makes a proxy send something
    else."""
    lower = name.lower()
    return lower in _SERVER_HEADERS or lower in _ORIGIN_HEADERS or lower.startswith((_SERVER_PREFIX, *_PROXY_HEADERS))


def is_steering_header(name: str) -> bool:
    """Return true for a response header that lets a browser or a proxy go elsewhere, or allows or forbids it something:
    a flow may set it, and no message."""
    lower = name.lower()
    return is_server_header(name) or lower in _STEERING_HEADERS or lower.startswith(_STEERING_PREFIXES)


def _not_server_header(name: str) -> str:
    if name.lower() in _ORIGIN_HEADERS:
        raise ValueError(f"in a browser, {name} affects other pages of the server; leave it out")
    if name.lower().startswith(_PROXY_HEADERS):
        raise ValueError(f"{name} lets a proxy send something of its own instead; leave it out")
    if is_server_header(name):
        raise ValueError(f"the server itself sets {name}; leave it out")
    return name


class Verify(BaseModel):
    """The verification of the sender. The scheme's own settings stand beside `scheme` and `credential`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    scheme: str = Field(description="The name of a scheme, such as `github`; `none` verifies nothing.")
    credential: Annotated[str | None, Reach("credential")] = Field(
        default=None, description="The name of the credential with the scheme's secret."
    )

    @property
    def settings(self) -> dict[str, Any]:
        """Return the scheme's own settings."""
        return dict(self.model_extra or {})


RATE = r"^[1-9][0-9]*/(s|m|h)$"
"""A rate limit, such as `10/s`."""

Rate = Annotated[str, Field(pattern=RATE)]


_MAPPED = 96
"""Bits before the IPv4 address in `::ffff:192.0.2.1`."""


def _network(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        network = ip_network(value)
    except ValueError as error:
        raise ValueError(f"{error}; a network is an address, or such as 10.0.0.0/8 or 2001:db8::/32") from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED:
        return network
    # IPv4 addresses in IPv6 form are compared as IPv4.
    return IPv4Network((mapped, network.prefixlen - _MAPPED))


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network), WithJsonSchema({"type": "string"})]


def _short(value: Any) -> Any:
    return {"scheme": value} if isinstance(value, str) else value


class AcceptedAnswer(BaseModel):
    """The response to the sender after its message is stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(default=200, ge=200, le=299, description="The status, for new messages and duplicates alike.")
    body: Any = Field(
        default=None, description="A text is sent as it is, null as an empty body, anything else as JSON."
    )
    headers: Annotated[
        dict[Annotated[HeaderName, AfterValidator(_not_server_header)], HeaderValue], Reach("response_header")
    ] = Field(default_factory=dict, description="Additional headers.")


class Cors(BaseModel):
    """The cross-origin pages that may send from a browser."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origins: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")], ...], Reach("response_header")
    ] = Field(min_length=1, description="Origins, such as `https://shop.example.com`; `*` is all of them.")
    headers: Annotated[tuple[HeaderName, ...], Reach("response_header")] = Field(
        default=("Content-Type",), description="Headers that pages may send besides those that browsers always allow."
    )
    max_age: Duration = Field(default=timedelta(hours=1), description="The time for which a browser remembers this.")


class RequestSettings(BaseModel):
    """The requests that are accepted, and how they are decoded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verify: Annotated[Verify, BeforeValidator(_short, json_schema_input_type=Verify | str)] = Field(
        description='The verification of the sender; write "none" to accept unverified requests.'
    )
    methods: tuple[Method, ...] = Field(default=("POST",), min_length=1, description="The accepted methods.")
    media_types: tuple[MediaRange, ...] | None = Field(
        default=None,
        description="The accepted media types, such as `application/json` or `text/*`; all by default.",
    )
    file_types: tuple[MediaRange, ...] | None = Field(
        default=None,
        description="The accepted types of files, such as `application/pdf` or `image/*`, in multipart forms too; a "
        "file whose first bytes show another type than it says is rejected. By default those of `media_types`, if "
        "the body is the file.",
    )
    body: BodyMode = Field(
        default="auto",
        description="The decoding of the body: `auto` goes by its media type; `json` and `text` ignore the type; "
        "`raw` keeps its bytes as one attachment.",
    )
    nested: bool = Field(
        default=False,
        description="Decode names such as `order[lines][][sku]` in forms and queries as lists and objects.",
    )
    json_fields: tuple[str, ...] = Field(
        default=(), description="Fields of forms and queries that hold JSON, such as `payload`; they are decoded."
    )
    force_list: tuple[str, ...] = Field(
        default=(), description="XML elements that are lists even if there is only one of them."
    )
    accepted: AcceptedAnswer | None = Field(
        default=None, description="The response in place of 202 and the execution's id."
    )
    cors: Cors | None = Field(default=None, description="Allow pages of other origins to send from a browser.")
    allow_from: tuple[Network, ...] | None = Field(
        default=None,
        description="The networks whose requests are accepted, such as `192.0.2.0/24`; all others get 401.",
    )
    client_rate: Rate | None = Field(
        default=None, description="The rate limit for requests from one address, such as `5/s`; more get 429."
    )
    keep_rejected_bodies: bool = Field(
        default=False,
        description="Keep the beginning of each rejected request's body, with secrets masked, to find a "
        "sender's error.",
    )
    max_body: int | None = Field(
        default=None, gt=0, description="The most bytes of a body; the server's limit by default."
    )
    max_file: int | None = Field(
        default=None, gt=0, description="The most bytes of a file; the server's limit by default."
    )
    max_ratio: int = Field(
        default=200,
        gt=0,
        description="The largest factor by which decompression may enlarge a body, once it is larger than 1 MB.",
    )


class WebhookSettings(RequestSettings):
    """The settings of a webhook."""

    dedupe_key: Annotated[str | Annotated[tuple[str, ...], Field(min_length=1)] | None, Reach("expression")] = Field(
        default=None,
        description="An expression, or several that form one key: a message whose key was seen within the window "
        "starts nothing. `$.trigger.scheme_id` is the id that the provider gave the message.",
    )
    dedupe_window: Duration = Field(default=timedelta(days=7), description="The time for which keys are remembered.")
    numbers: NumbersMode = Field(
        default="binary",
        description="The form of fractions in messages and in the flow: `binary` has about 16 digits, as in most "
        "languages; `exact` keeps every digit as it was sent, in calculations too.",
    )
    respond: Literal["accepted", "finished", "reply"] = Field(
        default="accepted",
        description="The event after which the sender is answered: `accepted` is the storing of the message, "
        "`finished` the end of the flow, with its last body, and `reply` the flow's `reply` step.",
    )
    respond_timeout: Duration = Field(
        default=timedelta(seconds=30),
        description="The longest time that the sender waits for `finished` or `reply`; then it gets 504, and the "
        "flow goes on.",
    )


SUBSCRIBED: Final = tuple(name for name in WebhookSettings.model_fields if name not in ("verify", "cors"))
"""The webhook settings of a trigger with a subscription, whose scheme is known."""


class SubscribedSettings(BaseModel):
    """The settings of a trigger with a subscription: its own, and those of its webhook."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )


def subscribed_settings(name: str, own: Mapping[str, Any]) -> type[SubscribedSettings]:
    """Make the settings model of such a trigger. `own`: the annotation and `FieldInfo` of each of its own settings."""
    fields = WebhookSettings.model_fields
    webhook: dict[str, Any] = {each: (fields[each].annotation, fields[each]) for each in SUBSCRIBED}
    return create_model(name, __base__=SubscribedSettings, **own, **webhook)


class Correlate(BaseModel):
    """The key by which a callback finds its waiting execution, if it doesn't use the resume URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Annotated[Any, Reach("expression")] = Field(
        description="An expression that gives the key of this execution when the step begins to wait."
    )
    from_: Annotated[str | Annotated[tuple[str, ...], Field(min_length=1)], Reach("expression")] = Field(
        alias="from",
        description="An expression over the callback, or several, that gives the key of the execution for which "
        "it is meant.",
    )


FieldType = Literal["text", "number", "integer", "boolean", "enum", "date"]
FIELD_NAME: Final = r"^[A-Za-z][A-Za-z0-9_]*$"
MAX_FIELDS: Final = 50
MAX_CHOICES: Final = 20
_NUMBERS: Final = ("number", "integer")


class PageField(BaseModel):
    """One field of the form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: FieldType = Field(
        description="The type of the value. A `date` is a text such as `2026-01-31`, an `enum` one of `values`."
    )
    label: TextExpression = Field(default=None, description="The text beside the field; its name by default.")
    help: TextExpression = Field(default=None, description="A text below the label.")
    required: bool = Field(
        default=False, description="The field must be filled in. Otherwise it is null, or false if it is a `boolean`."
    )
    default: Any = Field(
        default=None, description="The initial value of the field, also used if a request leaves it out."
    )
    values: tuple[str, ...] | None = Field(
        default=None, min_length=1, max_length=1000, description="The values of an `enum`."
    )
    min: int | float | None = Field(default=None, description="The smallest `number` or `integer`.")
    max: int | float | None = Field(default=None, description="The largest `number` or `integer`.")
    multiline: bool = Field(default=False, description="A `text` may have several lines.")
    max_length: int = Field(default=10_000, ge=1, le=100_000, description="The most characters of a `text`.")

    @model_validator(mode="after")
    def _fits_type(self) -> Self:
        if (self.values is not None) != (self.type == "enum"):
            raise ValueError("an enum has `values`, and no other type has")
        if self.type not in _NUMBERS and (self.min is not None or self.max is not None):
            raise ValueError("only a number or an integer has `min` and `max`")
        if self.type != "text" and not self.model_fields_set.isdisjoint(("multiline", "max_length")):
            raise ValueError("only a text has `multiline` and `max_length`")
        return self


class PageChoice(BaseModel):
    """One button of the form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: TextExpression = Field(description="The text of the button.")
    body: ObjectExpression = Field(
        default_factory=dict, description="An object that is merged over the fields if the button is pressed."
    )


class PageSettings(BaseModel):
    """The page that a person sees at the step's URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: TextExpression = Field(default=None, description="The heading; the flow's title by default.")
    text: TextExpression = Field(
        default=None, description="The text below the heading. It is shown as it is, without markup."
    )
    fields: dict[Annotated[str, StringConstraints(pattern=FIELD_NAME)], PageField] = Field(
        default_factory=dict, max_length=MAX_FIELDS, description="The fields of the form, by name, in order."
    )
    choices: tuple[PageChoice, ...] = Field(
        default=(), max_length=MAX_CHOICES, description="The buttons of the form; one that sends the fields by default."
    )


class WaitSettings(RequestSettings):
    """The settings of a waiting webhook step."""

    verify: Annotated[Verify, BeforeValidator(_short, json_schema_input_type=Verify | str)] = Field(
        default=Verify(scheme="none"),
        description='The verification of the caller. The default is "none", since the caller has to know the step\'s '
        "secret URL; with `correlate` it is required.",
    )
    methods: tuple[CallMethod, ...] = Field(
        default=("POST",),
        min_length=1,
        description="The accepted methods; a GET shows a page that asks for confirmation, and runs nothing.",
    )
    timeout: Duration | None = Field(
        default=None, description="The longest time that the step waits; then it fails with code `wait_timed_out`."
    )
    correlate: Correlate | None = Field(
        default=None, description="Let calls to `/hook/<flow id>/<step id>` find the execution by a key."
    )
    page: PageSettings | None = Field(
        default=None,
        description="The page that a person sees at the step's URL: a title, a text, the fields of a form and its "
        "buttons. The values of the fields become the body.",
    )
    early: Duration = Field(
        default=timedelta(hours=1),
        description="The time for which an early callback with a key is kept until its step waits.",
    )
