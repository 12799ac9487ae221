"""The store: `commit` is the only write."""

from collections.abc import Sequence
from typing import Protocol

from hookline.storage.changes import Change, CommitResult
from hookline.storage.merge_ports_queries_batches import BatchQueries
from hookline.storage.merge_ports_queries_callbacks import CallbackQueries
from hookline.storage.merge_ports_queries_credentials import CredentialQueries
from hookline.storage.merge_ports_queries_dead_letters import DeadLetterQueries
from hookline.storage.merge_ports_queries_executions import ExecutionQueries
from hookline.storage.merge_ports_queries_files import FileQueries
from hookline.storage.merge_ports_queries_flows import FlowQueries
from hookline.storage.merge_ports_queries_history import HistoryQueries
from hookline.storage.merge_ports_queries_items import ItemQueries
from hookline.storage.merge_ports_queries_refused import RefusedQueries
from hookline.storage.merge_ports_queries_subscriptions import SubscriptionQueries
from hookline.storage.merge_ports_queries_work import WorkQueries


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
