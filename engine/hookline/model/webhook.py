"""The settings of a webhook: which requests it takes, and how it knows their sender."""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, create_model

from hookline.model.durations import Duration

Method = Literal["GET", "POST", "PUT", "PATCH"]
CallMethod = Literal["POST", "PUT", "PATCH"]
"""Without GET, since what only follows links must not resume a flow."""
BodyMode = Literal["auto", "json", "text", "raw"]
Numbers = Literal["binary", "exact"]
MediaRange = Annotated[str, StringConstraints(pattern=r"^[^/\s;,]+/[^/\s;,]+$")]
"""`image/png`, `image/*` or `*/*`."""


def takes(media_types: tuple[str, ...], media_type: str) -> bool:
    """Whether one of `application/json`, `text/*` or `*/*` covers a type."""
    main = media_type.partition("/")[0]
    return any(wanted.lower() in (media_type, f"{main}/*", "*/*") for wanted in media_types)


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t\x20-\x7e\x80-\xff]*$")]


class Verify(BaseModel):
    """How the sender is verified. What a scheme takes besides stands beside `scheme` and `credential`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    scheme: str = Field(description="The name of a scheme, such as `github`; `none` verifies nothing.")
    credential: str | None = Field(default=None, description="The name of the credential with the scheme's secret.")

    @property
    def settings(self) -> dict[str, Any]:
        """What the scheme's own settings model is given."""
        return dict(self.model_extra or {})


RATE = r"^[1-9][0-9]*/(s|m|h)$"
"""How often in a time: `10/s`."""

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
    # Addresses are compared as what they map to.
    return IPv4Network((mapped, network.prefixlen - _MAPPED))


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network), WithJsonSchema({"type": "string"})]


def _short(value: Any) -> Any:
    return {"scheme": value} if isinstance(value, str) else value


class AcceptedAnswer(BaseModel):
    """What a sender is told once its message is stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(default=200, ge=200, le=299, description="The status, for new messages and duplicates alike.")
    body: Any = Field(default=None, description="A text goes out as it is, null as nothing, all else as JSON.")
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, description="Headers beside it.")


class Cors(BaseModel):
    """Which pages of others may send from a browser."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origins: tuple[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")], ...] = Field(
        min_length=1, description="Origins, such as `https://shop.example.com`; `*` is all of them."
    )
    headers: tuple[HeaderName, ...] = Field(
        default=("Content-Type",), description="Headers that pages may send besides those that they always may."
    )
    max_age: Duration = Field(default=timedelta(hours=1), description="How long a browser remembers this.")


class RequestSettings(BaseModel):
    """Which requests are taken, and how they are read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verify: Annotated[Verify, BeforeValidator(_short, json_schema_input_type=Verify | str)] = Field(
        description='How the sender is verified; "none" has to be said.'
    )
    methods: tuple[Method, ...] = Field(default=("POST",), min_length=1, description="The methods it takes.")
    media_types: tuple[MediaRange, ...] | None = Field(
        default=None,
        description="The media types that it takes, such as `application/json` or `text/*`; all by default.",
    )
    file_types: tuple[MediaRange, ...] | None = Field(
        default=None,
        description="The types of files that it takes, such as `application/pdf` or `image/*`, in multipart forms too; "
        "a file whose first bytes show another type than it says is rejected. By default those of `media_types`, where "
        "the body is the file.",
    )
    body: BodyMode = Field(
        default="auto",
        description="How the body is read: as its type says; as `json` or as `text`, whatever its type; or not at all: "
        "`raw` keeps its bytes, as one attachment.",
    )
    nested: bool = Field(
        default=False,
        description="Whether names such as `order[lines][][sku]` in forms and queries stand for lists and objects.",
    )
    json_fields: tuple[str, ...] = Field(
        default=(), description="Fields of forms and queries that hold JSON, such as `payload`: they are its value."
    )
    force_list: tuple[str, ...] = Field(
        default=(), description="XML elements that are lists also where there is one of them."
    )
    accepted: AcceptedAnswer | None = Field(
        default=None, description="What the sender is told instead of 202 and the execution's id."
    )
    cors: Cors | None = Field(default=None, description="Lets pages of other origins send from a browser.")
    allow_from: tuple[Network, ...] | None = Field(
        default=None,
        description="The networks from which it takes requests, such as `192.0.2.0/24`; all others get 401.",
    )
    client_rate: Rate | None = Field(
        default=None, description="How many requests it takes from one address, such as `5/s`; more get 429."
    )
    keep_rejected_bodies: bool = Field(
        default=False,
        description="Keep the beginning of each rejected request's body, secrets masked, to find a sender's error.",
    )
    max_body: int | None = Field(default=None, gt=0, description="Bytes in a body; the server's bound by default.")
    max_file: int | None = Field(default=None, gt=0, description="Bytes in a file; the server's bound by default.")
    max_ratio: int = Field(
        default=200,
        gt=0,
        description="How many times as large a compressed body may become, once it is larger than 1 MB.",
    )


class WebhookSettings(RequestSettings):
    """What a webhook takes."""

    dedupe_key: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="An expression, or several that are one key together: a message whose key was seen within the "
        "window starts nothing. `$.trigger.scheme_id` is the id that the provider gave it.",
    )
    dedupe_window: Duration = Field(default=timedelta(days=7), description="How long keys are remembered.")
    numbers: Numbers = Field(
        default="binary",
        description="What fractions in JSON are, in messages and in the flow: `binary` has some 16 digits, as in most "
        "languages; `exact` keeps every digit as it was sent, in calculations too.",
    )
    respond: Literal["accepted", "finished", "reply"] = Field(
        default="accepted",
        description="When the sender is answered: once the message is stored, once the flow has ended (with its last "
        "body), or by its `reply` step.",
    )
    respond_timeout: Duration = Field(
        default=timedelta(seconds=30),
        description="How long the sender waits for `finished` or `reply`; then it gets 504, and the flow goes on.",
    )


SUBSCRIBED: Final = tuple(name for name in WebhookSettings.model_fields if name not in ("verify", "cors"))
"""What a webhook can be told whose provider the engine has subscribed with, and so knows how it signs."""


class SubscribedSettings(BaseModel):
    """What every trigger that subscribes goes by: its own settings, and then those of its webhook."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )


def subscribed_settings(name: str, own: Mapping[str, Any]) -> type[SubscribedSettings]:
    """The settings of one such trigger. `own`: the annotation and the `FieldInfo` of each that is its own."""
    fields = WebhookSettings.model_fields
    webhook: dict[str, Any] = {each: (fields[each].annotation, fields[each]) for each in SUBSCRIBED}
    return create_model(name, __base__=SubscribedSettings, **own, **webhook)


class Correlate(BaseModel):
    """By what a call finds the execution that waits for it, where it doesn't come to that one's own URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Any = Field(description="An expression that gives the key of this execution when the step begins to wait.")
    from_: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        alias="from", description="An expression over the call, or several, that gives the key it is for."
    )


class WaitSettings(RequestSettings):
    """What a webhook takes that stands in the middle of a flow."""

    verify: Annotated[Verify, BeforeValidator(_short, json_schema_input_type=Verify | str)] = Field(
        default=Verify(scheme="none"),
        description="How the caller is verified. Who calls the step's own URL knows a secret by that; where calls are "
        'correlated it has to be said, and be it "none".',
    )
    methods: tuple[CallMethod, ...] = Field(
        default=("POST",),
        min_length=1,
        description="The methods it takes; a GET shows a page that asks, and runs nothing.",
    )
    timeout: Duration | None = Field(
        default=None, description="How long the step waits; then it fails with code `wait_timed_out`."
    )
    correlate: Correlate | None = Field(
        default=None, description="Lets calls to `/hook/<flow id>/<step id>` find the execution by a key."
    )
    early: Duration = Field(
        default=timedelta(hours=1), description="How long a correlated call is kept that comes before its step waits."
    )
