"""All that a plugin may import; backends and blob stores find what they need in `hookline.api.storage`."""

from hookline.action import (
    FILTERED,
    PASS,
    STOPPED,
    Action,
    Context,
    Count,
    FromVars,
    Pause,
    Reply,
    Shown,
    Signal,
)
from hookline.attached import message_attachment
from hookline.connector import Connector
from hookline.consume import ConsumeContext, ConsumeTrigger, Delivery, Payload
from hookline.errors import (
    AuthExpired,
    CannotVerify,
    ExpressionError,
    ExpressionFailed,
    ExpressionLimit,
    ExpressionSyntax,
    HooklineError,
    Malformed,
    MissingValue,
    NotVerified,
    Problem,
    RateLimited,
    RequestRefused,
    StepError,
    StoreError,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from hookline.flow_values import MAX_KEY, FlowState, check_key
from hookline.hookspecs import hookimpl
from hookline.http import HttpClient, Response, StreamedResponse
from hookline.jsontypes import MAX_DIGITS, MAX_EXPONENT, JsonObject, JsonValue, fits
from hookline.jsontypes import decode as decode_json
from hookline.jsontypes import encode as encode_json
from hookline.logger import Log
from hookline.mapper import Expression, Mapper, Reference, Scope, TemplateFilter
from hookline.model.durations import Duration, Interval
from hookline.model.message import Attachment, Message
from hookline.model.reply import CallerReply
from hookline.model.schedule import Schedule, ScheduleSettings
from hookline.model.webhook import BodyMode, WebhookSettings
from hookline.nearest import did_you_mean
from hookline.new_items import changed_items, items_above
from hookline.oauth2 import OAuth2, Tokens
from hookline.options import Option, Options, OptionsContext
from hookline.pages import cursor_items, linked_items, numbered_items
from hookline.poll import Identity, Item, PollContext, Polled, PollTrigger
from hookline.rate_limits import RateLimits
from hookline.resources import Resource, Resources
from hookline.returns import GivesSetting, NeverPasses, PassesWhere
from hookline.scheme import Answer, Check, NoSettings, Scheme, SignedRequest, Verified
from hookline.subscription import Subscription, SubscriptionContext, WebhookFunctions, WebhookTrigger
from hookline.trigger import Incoming, NewFile, ReadRequest, RequestTrigger, ScheduleTrigger, Trigger
from hookline.verifier import VerifyContext

__all__ = [
    "FILTERED",
    "MAX_DIGITS",
    "MAX_EXPONENT",
    "MAX_KEY",
    "PASS",
    "STOPPED",
    "Action",
    "Answer",
    "Attachment",
    "AuthExpired",
    "BodyMode",
    "CallerReply",
    "CannotVerify",
    "Check",
    "Connector",
    "ConsumeContext",
    "ConsumeTrigger",
    "Context",
    "Count",
    "Delivery",
    "Duration",
    "Expression",
    "ExpressionError",
    "ExpressionFailed",
    "ExpressionLimit",
    "ExpressionSyntax",
    "FlowState",
    "FromVars",
    "GivesSetting",
    "HooklineError",
    "HttpClient",
    "Identity",
    "Incoming",
    "Interval",
    "Item",
    "JsonObject",
    "JsonValue",
    "Log",
    "Malformed",
    "Mapper",
    "Message",
    "MissingValue",
    "NeverPasses",
    "NewFile",
    "NoSettings",
    "NotVerified",
    "OAuth2",
    "Option",
    "Options",
    "OptionsContext",
    "PassesWhere",
    "Pause",
    "Payload",
    "PollContext",
    "PollTrigger",
    "Polled",
    "Problem",
    "RateLimited",
    "RateLimits",
    "ReadRequest",
    "Reference",
    "Reply",
    "RequestRefused",
    "RequestTrigger",
    "Resource",
    "Resources",
    "Response",
    "Schedule",
    "ScheduleSettings",
    "ScheduleTrigger",
    "Scheme",
    "Scope",
    "Shown",
    "Signal",
    "SignedRequest",
    "StepError",
    "StoreError",
    "StreamedResponse",
    "Subscription",
    "SubscriptionContext",
    "TemplateFilter",
    "Tokens",
    "TooLarge",
    "Trigger",
    "Unavailable",
    "UnsupportedMedia",
    "Verified",
    "VerifyContext",
    "WebhookFunctions",
    "WebhookSettings",
    "WebhookTrigger",
    "changed_items",
    "check_key",
    "cursor_items",
    "decode_json",
    "did_you_mean",
    "encode_json",
    "fits",
    "hookimpl",
    "items_above",
    "linked_items",
    "message_attachment",
    "numbered_items",
]
