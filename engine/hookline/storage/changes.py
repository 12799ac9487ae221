"""The changes that a store commits, one file for each subject, and what comes of them."""

from typing import TypeAlias

from hookline.storage.merge_ports_changes_accept import Accept, Accepted, Duplicate
from hookline.storage.merge_ports_changes_batches import CloseBatch, Join, Joined, Leads, TakeBatch
from hookline.storage.merge_ports_changes_callbacks import (
    Await,
    CallBack,
    CallbackOutcome,
    ForgetCallbacks,
    ForgetEarly,
    Settle,
    TimedOut,
    TimeOut,
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
)
from hookline.storage.merge_ports_changes_items import Conclude, DropEntries, Proceed
from hookline.storage.merge_ports_changes_purging import ForgetKeys, ForgetVersions, Purge
from hookline.storage.merge_ports_changes_refused import Refuse
from hookline.storage.merge_ports_changes_subscriptions import RewrapSubscription, SetSubscription

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
