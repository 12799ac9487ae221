"""The changes that a store commits, one file for each subject, and what comes of them."""

from typing import TypeAlias

from hookline.ports.changes.accept import Accept, Accepted, Duplicate
from hookline.ports.changes.batches import CloseBatch, Join, Joined, Leads, TakeBatch
from hookline.ports.changes.callbacks import (
    Await,
    CallBack,
    CallbackOutcome,
    ForgetCallbacks,
    ForgetEarly,
    Settle,
    TimedOut,
    TimeOut,
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
from hookline.ports.changes.flows import Added, AddState, NotANumber, OverrideState, Publish, SetCursor, SetState
from hookline.ports.changes.items import Conclude, DropEntries, Proceed
from hookline.ports.changes.purging import ForgetKeys, ForgetVersions, Purge
from hookline.ports.changes.refused import Refuse
from hookline.ports.changes.subscriptions import RewrapSubscription, SetSubscription

Change: TypeAlias = (
    Accept
    | Start
    | Resume
    | Record
    | Park
    | Unblock
    | End
    | Reopen
    | Discard
    | KeepSeal
    | Release
    | Publish
    | PutCredential
    | PutTokens
    | DropCredential
    | Refuse
    | ForgetFiles
    | Cancel
    | Await
    | CallBack
    | TimeOut
    | Settle
    | ForgetCallbacks
    | ForgetEarly
    | Join
    | CloseBatch
    | TakeBatch
    | Proceed
    | DropEntries
    | Conclude
    | SetState
    | AddState
    | SetCursor
    | SetSubscription
    | RewrapSubscription
    | Rebind
    | OverrideState
    | Purge
    | ForgetKeys
    | ForgetVersions
)
"""One thing that is to be made durable."""

CommitResult: TypeAlias = Accepted | Duplicate | CallbackOutcome | TimedOut | Added | NotANumber | Leads | Joined | None
"""What came of a change: None for those that have nothing to say."""
