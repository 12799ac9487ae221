"""The contract of stores. The tests of a backend subclass `StoreContract` and define the fixtures that it names."""

from hookline.testing.contracts.store.accepting import AcceptingContract, CommitsContract
from hookline.testing.contracts.store.administration.access import AccessContract
from hookline.testing.contracts.store.administration.audit import AuditContract
from hookline.testing.contracts.store.administration.deployments import DeploymentsContract
from hookline.testing.contracts.store.administration.rejected_requests import RejectedContract
from hookline.testing.contracts.store.batches import BatchesContract
from hookline.testing.contracts.store.callbacks import CallbacksContract
from hookline.testing.contracts.store.dead_letters import DeadLettersContract
from hookline.testing.contracts.store.due_and_blocked_work import WorkContract
from hookline.testing.contracts.store.encrypted_values import (
    CredentialsContract,
    DataKeysContract,
    SubscriptionsContract,
)
from hookline.testing.contracts.store.files import FilesContract
from hookline.testing.contracts.store.flows import (
    CapturesContract,
    DraftsContract,
    FlowsContract,
    FlowValuesContract,
)
from hookline.testing.contracts.store.journal_and_items import ItemsContract, JournalContract, ReplaysContract
from hookline.testing.contracts.store.lists import ListsContract
from hookline.testing.contracts.store.purging_and_usage import PurgingContract, UsageContract
from hookline.testing.contracts.store.states_and_ends import EndsContract, StatesContract
from hookline.testing.contracts.store.statistics import StatisticsContract


class StoreContract(
    AcceptingContract,
    BatchesContract,
    CommitsContract,
    StatesContract,
    JournalContract,
    ItemsContract,
    ListsContract,
    WorkContract,
    CallbacksContract,
    EndsContract,
    DeadLettersContract,
    ReplaysContract,
    FilesContract,
    RejectedContract,
    StatisticsContract,
    FlowsContract,
    FlowValuesContract,
    PurgingContract,
    UsageContract,
    CredentialsContract,
    DataKeysContract,
    SubscriptionsContract,
    DeploymentsContract,
    DraftsContract,
    CapturesContract,
    AccessContract,
    AuditContract,
):
    """Fixtures to define: `clock`, a ManualClock, and `backend`, open, empty, and on that clock."""
