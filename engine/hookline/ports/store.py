"""The store: `commit` is the only write."""

from collections.abc import Sequence
from typing import Protocol

from hookline.ports.changes import Change, CommitResult
from hookline.ports.queries.batches import BatchQueries
from hookline.ports.queries.callbacks import CallbackQueries
from hookline.ports.queries.credentials import CredentialQueries
from hookline.ports.queries.dead_letters import DeadLetterQueries
from hookline.ports.queries.executions import ExecutionQueries
from hookline.ports.queries.files import FileQueries
from hookline.ports.queries.flows import FlowQueries
from hookline.ports.queries.history import HistoryQueries
from hookline.ports.queries.items import ItemQueries
from hookline.ports.queries.refused import RefusedQueries
from hookline.ports.queries.subscriptions import SubscriptionQueries
from hookline.ports.queries.work import WorkQueries


class Store(
    ExecutionQueries,
    ItemQueries,
    DeadLetterQueries,
    CallbackQueries,
    BatchQueries,
    WorkQueries,
    FlowQueries,
    FileQueries,
    HistoryQueries,
    RefusedQueries,
    CredentialQueries,
    SubscriptionQueries,
    Protocol,
):
    """Durable state. Every method raises StoreError where the backend can't be used now."""

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """Make a batch durable, whole or not at all; gives one result for each change, in order.

        Accept gives Accepted or Duplicate, CallBack, TimeOut, Join and AddState what they say, all others None. Raises
        IllegalStateChange, or ExecutionNotFound, and then nothing of this batch is written; batches of other callers
        that share the transaction are.
        """
        ...

    async def ping(self) -> None:
        """Return if the store can be read and written."""
        ...
