"""All that a plugin may import; backends and blob stores find what they need in `hookline.api_storage`."""

from hookline.kernel.errors import (
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
from hookline.kernel.json import MAX_DIGITS, MAX_EXPONENT, JsonObject, JsonValue, fits
from hookline.kernel.json import decode as decode_json
from hookline.kernel.json import encode as encode_json
from hookline.kernel.merge_logger import Log
from hookline.kernel.suggest import did_you_mean
from hookline.model.durations import Duration, Interval
from hookline.model.merge_model_reply import CallerReply
from hookline.model.merge_model_schedule import Schedule, ScheduleSettings
from hookline.model.message import Attachment, Message
from hookline.model.webhook import BodyMode, WebhookSettings
from hookline.sdk.action import FILTERED, PASS, STOPPED, Action, Context, Count, FromVars, Pause, Reply, Shown, Signal
from hookline.sdk.connector import Connector
from hookline.sdk.context import MAX_KEY, FlowState, check_key
from hookline.sdk.hookspecs import hookimpl
from hookline.sdk.http import HttpClient, Response, StreamedResponse
from hookline.sdk.mappers import Expression, Mapper, Reference, Scope, TemplateFilter
from hookline.sdk.merge_attached import message_attachment
from hookline.sdk.merge_consume import ConsumeContext, ConsumeTrigger, Delivery, Payload
from hookline.sdk.merge_new_items import changed_items, items_above
from hookline.sdk.merge_rate_limits import RateLimits
from hookline.sdk.merge_resources import Resource, Resources
from hookline.sdk.merge_returns import GivesSetting, NeverPasses, PassesWhere
from hookline.sdk.merge_subscription import Subscription, SubscriptionContext, WebhookFunctions, WebhookTrigger
from hookline.sdk.merge_verifier import VerifyContext
from hookline.sdk.oauth2 import OAuth2, Tokens
from hookline.sdk.options import Option, Options, OptionsContext
from hookline.sdk.pagination import cursor_items, linked_items, numbered_items
from hookline.sdk.poll import Identity, Item, PollContext, Polled, PollTrigger
from hookline.sdk.schemes import Answer, Check, NoSettings, Scheme, SignedRequest, Verified
from hookline.sdk.triggers import Incoming, NewFile, ReadRequest, RequestTrigger, ScheduleTrigger, Trigger

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
