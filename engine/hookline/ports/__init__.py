"""Ports: what the engine asks of a backend, and the changes that a store commits.

`Store.commit` is the only write. Where a backend is queue and store in one (SQL), accepting a message and
acknowledging it are changes in a commit like any other, so that they can't disagree with the journal.
"""

from hookline.ports.backend import Backend, BackendFactory
from hookline.ports.blobs import Blob, Blobs, BlobStoreFactory, BlobWriter
from hookline.ports.changes import Change, CommitResult
from hookline.ports.changes.accept import Accept, Accepted, Duplicate
from hookline.ports.changes.batches import CloseBatch, Join, Joined, Leads, TakeBatch
from hookline.ports.changes.callbacks import (
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
from hookline.ports.changes.credentials import DropCredential, PutCredential, PutTokens
from hookline.ports.changes.executions import (
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
from hookline.ports.changes.flows import (
    Added,
    AddState,
    NotANumber,
    OverrideState,
    Publish,
    SetCursor,
    SetState,
    counted_output,
)
from hookline.ports.changes.items import Conclude, DropEntries, Proceed
from hookline.ports.changes.purging import ForgetKeys, ForgetVersions, Purge
from hookline.ports.changes.refused import REFUSED_KEPT, Refuse
from hookline.ports.changes.subscriptions import RewrapSubscription, SetSubscription
from hookline.ports.queries.credentials import StoredCredential
from hookline.ports.queries.dead_letters import DeadLetterPage, DeadLetters
from hookline.ports.queries.executions import Page, Summary
from hookline.ports.queries.flows import FlowVersion, Kept, KeptPage, StateOverride
from hookline.ports.queries.history import Room
from hookline.ports.queries.refused import RefusedPage
from hookline.ports.queries.work import Due
from hookline.ports.queue import Delivery, Queue
from hookline.ports.store import Store

__all__ = [
    "EARLY_KEPT",
    "REFUSED_KEPT",
    "Accept",
    "Accepted",
    "AddState",
    "Added",
    "Await",
    "Backend",
    "BackendFactory",
    "Blob",
    "BlobStoreFactory",
    "BlobWriter",
    "Blobs",
    "CallBack",
    "CallbackOutcome",
    "Called",
    "CalledBefore",
    "Cancel",
    "Change",
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
    "FlowVersion",
    "ForgetCallbacks",
    "ForgetEarly",
    "ForgetFiles",
    "ForgetKeys",
    "ForgetVersions",
    "Join",
    "Joined",
    "KeepSeal",
    "Kept",
    "KeptPage",
    "Leads",
    "NotANumber",
    "NotAwaited",
    "OverrideState",
    "Page",
    "Park",
    "Proceed",
    "Publish",
    "Purge",
    "PutCredential",
    "PutTokens",
    "Queue",
    "Rebind",
    "Record",
    "Refuse",
    "RefusedPage",
    "Release",
    "Reopen",
    "Resume",
    "RewrapSubscription",
    "Room",
    "SetCursor",
    "SetState",
    "SetSubscription",
    "Settle",
    "Start",
    "StateOverride",
    "Store",
    "StoredCredential",
    "Summary",
    "TakeBatch",
    "TimeOut",
    "TimedOut",
    "TooManyEarly",
    "Unblock",
    "counted_output",
]
