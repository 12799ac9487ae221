"""What the plugins that store things may import: the ports, the changes, and the data that they carry."""

from hookline.kernel.errors import BlobGone, ExecutionNotFound, IllegalStateChange, StoreError
from hookline.kernel.faults import fault
from hookline.kernel.time import Clock
from hookline.model.batch import JOINED, LARGEST, Gathered, joined_output
from hookline.model.causes import cause_of
from hookline.model.execution import (
    BLOCKED,
    FINAL,
    MOVES,
    ORDER,
    ErrorInfo,
    Execution,
    Outcome,
    State,
    StepRecord,
    StepState,
    check_move,
)
from hookline.model.items import Progress
from hookline.model.merge_model_stream import STREAM
from hookline.model.message import Arrival, Attachment, Envelope, Message, Result, pack, unpack
from hookline.model.rejection import RefusedRequest
from hookline.storage.backend import Backend, BackendFactory
from hookline.storage.blobs import Blob, Blobs, BlobStoreFactory, BlobWriter
from hookline.storage.changes import Change, CommitResult
from hookline.storage.merge_ports_changes_accept import Accept, Accepted, Duplicate
from hookline.storage.merge_ports_changes_batches import CloseBatch, Join, Joined, Leads, TakeBatch
from hookline.storage.merge_ports_changes_callbacks import (
    EARLY_KEPT,
    Await,
    CallBack,
    CallbackOutcome,
    Called,
    CalledBefore,
    ForgetCallbacks,
    ForgetEarly,
    NotAwaited,
    Settle,
    TimedOut,
    TimeOut,
    TooManyEarly,
)
from hookline.storage.merge_ports_changes_credentials import DropCredential, PutCredential, PutTokens
from hookline.storage.merge_ports_changes_executions import (
    Cancel,
    Discard,
    End,
    ForgetFiles,
    KeepSeal,
    Park,
    Rebind,
    Record,
    Release,
    Reopen,
    Resume,
    Start,
    Unblock,
)
from hookline.storage.merge_ports_changes_flows import (
    Added,
    AddState,
    NotANumber,
    OverrideState,
    Publish,
    SetCursor,
    SetState,
    counted_output,
)
from hookline.storage.merge_ports_changes_items import Conclude, DropEntries, Proceed
from hookline.storage.merge_ports_changes_purging import ForgetKeys, ForgetVersions, Purge
from hookline.storage.merge_ports_changes_refused import REFUSED_KEPT, Refuse
from hookline.storage.merge_ports_changes_subscriptions import RewrapSubscription, SetSubscription
from hookline.storage.merge_ports_queries_credentials import StoredCredential
from hookline.storage.merge_ports_queries_dead_letters import DeadLetterPage, DeadLetters
from hookline.storage.merge_ports_queries_executions import Page, Summary
from hookline.storage.merge_ports_queries_flows import FlowVersion, Kept, KeptPage, StateOverride
from hookline.storage.merge_ports_queries_history import Room
from hookline.storage.merge_ports_queries_refused import RefusedPage
from hookline.storage.merge_ports_queries_work import Due
from hookline.storage.queue import Delivery, Queue
from hookline.storage.store import Store

__all__ = [
    "BLOCKED",
    "EARLY_KEPT",
    "FINAL",
    "JOINED",
    "LARGEST",
    "MOVES",
    "ORDER",
    "REFUSED_KEPT",
    "STREAM",
    "Accept",
    "Accepted",
    "AddState",
    "Added",
    "Arrival",
    "Attachment",
    "Await",
    "Backend",
    "BackendFactory",
    "Blob",
    "BlobGone",
    "BlobStoreFactory",
    "BlobWriter",
    "Blobs",
    "CallBack",
    "CallbackOutcome",
    "Called",
    "CalledBefore",
    "Cancel",
    "Change",
    "Clock",
    "CloseBatch",
    "CommitResult",
    "Conclude",
    "DeadLetterPage",
    "DeadLetters",
    "Delivery",
    "Discard",
    "DropCredential",
    "DropEntries",
    "Due",
    "Duplicate",
    "End",
    "Envelope",
    "ErrorInfo",
    "Execution",
    "ExecutionNotFound",
    "FlowVersion",
    "ForgetCallbacks",
    "ForgetEarly",
    "ForgetFiles",
    "ForgetKeys",
    "ForgetVersions",
    "Gathered",
    "IllegalStateChange",
    "Join",
    "Joined",
    "KeepSeal",
    "Kept",
    "KeptPage",
    "Leads",
    "Message",
    "NotANumber",
    "NotAwaited",
    "Outcome",
    "OverrideState",
    "Page",
    "Park",
    "Proceed",
    "Progress",
    "Publish",
    "Purge",
    "PutCredential",
    "PutTokens",
    "Queue",
    "Rebind",
    "Record",
    "Refuse",
    "RefusedPage",
    "RefusedRequest",
    "Release",
    "Reopen",
    "Result",
    "Resume",
    "RewrapSubscription",
    "Room",
    "SetCursor",
    "SetState",
    "SetSubscription",
    "Settle",
    "Start",
    "State",
    "StateOverride",
    "StepRecord",
    "StepState",
    "Store",
    "StoreError",
    "StoredCredential",
    "Summary",
    "TakeBatch",
    "TimeOut",
    "TimedOut",
    "TooManyEarly",
    "Unblock",
    "cause_of",
    "check_move",
    "counted_output",
    "fault",
    "joined_output",
    "pack",
    "unpack",
]
