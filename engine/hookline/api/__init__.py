"""All that a plugin may import; backends and blob stores find what they need in `hookline.api.storage`."""

from hookline.connector import (
    FILTERED,
    PASS,
    STOPPED,
    Action,
    Connector,
    Context,
    Count,
    FromVars,
    Log,
    Pause,
    Reply,
    Shown,
    Signal,
)
from hookline.errors import (
    AuthExpired,
    CannotVerify,
    ExpressionError,
    ExpressionFailed,
    ExpressionLimit,
    ExpressionSyntax,
    HooklineError,
    MissingValue,
    NotVerified,
    RateLimited,
    StepError,
    StoreError,
    Unavailable,
)
from hookline.flow_values import MAX_KEY, FlowState, check_key
from hookline.hookspecs import hookimpl
from hookline.http import HttpClient, Response, StreamedResponse
from hookline.jsontypes import MAX_DIGITS, MAX_EXPONENT, JsonObject, JsonValue, fits
from hookline.jsontypes import decode as decode_json
from hookline.jsontypes import encode as encode_json
from hookline.mapper import Expression, Mapper, Reference, Scope, TemplateFilter
from hookline.model.durations import Duration, Interval
from hookline.model.items import Items
from hookline.model.message import Attachment, Message
from hookline.model.reply import CallerReply
from hookline.model.schedule import Schedule, ScheduleSettings
from hookline.model.webhook import WebhookSettings
from hookline.nearest import did_you_mean
from hookline.new_items import changed_items, items_above
from hookline.poll import Identity, Item, PollContext, Polled, PollTrigger
from hookline.resources import Resource, Resources
from hookline.returns import GivesSetting, NeverPasses, PassesWhere
from hookline.scheme import Answer, Check, NoSettings, Scheme, SignedRequest, Verified
from hookline.trigger import RequestTrigger, ScheduleTrigger, Trigger
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
    "CallerReply",
    "CannotVerify",
    "Check",
    "Connector",
    "Context",
    "Count",
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
    "Interval",
    "Item",
    "Items",
    "JsonObject",
    "JsonValue",
    "Log",
    "Mapper",
    "Message",
    "MissingValue",
    "NeverPasses",
    "NoSettings",
    "NotVerified",
    "PassesWhere",
    "Pause",
    "PollContext",
    "PollTrigger",
    "Polled",
    "RateLimited",
    "Reference",
    "Reply",
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
    "TemplateFilter",
    "Trigger",
    "Unavailable",
    "Verified",
    "VerifyContext",
    "WebhookSettings",
    "changed_items",
    "check_key",
    "decode_json",
    "did_you_mean",
    "encode_json",
    "fits",
    "hookimpl",
    "items_above",
]
