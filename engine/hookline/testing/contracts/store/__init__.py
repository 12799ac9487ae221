"""What every store has to do. A backend's tests subclass `StoreContract` and give the fixtures that it names."""

from hookline.testing.contracts.store.accepting import AcceptingContract
from hookline.testing.contracts.store.batches import BatchesContract
from hookline.testing.contracts.store.callbacks import CallbacksContract
from hookline.testing.contracts.store.credentials import CredentialsContract
from hookline.testing.contracts.store.dead_letters import DeadLettersContract
from hookline.testing.contracts.store.files import FilesContract
from hookline.testing.contracts.store.flow_state import FlowValuesContract
from hookline.testing.contracts.store.journal import JournalContract
from hookline.testing.contracts.store.lists import ListsContract
from hookline.testing.contracts.store.merge_testing_contract_store_commits import CommitsContract
from hookline.testing.contracts.store.merge_testing_contract_store_ends import EndsContract
from hookline.testing.contracts.store.merge_testing_contract_store_flows import FlowsContract
from hookline.testing.contracts.store.merge_testing_contract_store_items import ItemsContract
from hookline.testing.contracts.store.merge_testing_contract_store_replays import ReplaysContract
from hookline.testing.contracts.store.merge_testing_contract_store_subscriptions import SubscriptionsContract
from hookline.testing.contracts.store.merge_testing_contract_store_work import WorkContract
from hookline.testing.contracts.store.redaction import SealsContract
from hookline.testing.contracts.store.rejected import RefusedContract
from hookline.testing.contracts.store.retention import PurgingContract
from hookline.testing.contracts.store.states import StatesContract


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
    RefusedContract,
    FlowsContract,
    FlowValuesContract,
    PurgingContract,
    CredentialsContract,
    SealsContract,
    SubscriptionsContract,
):
    """Fixtures to give: `clock`, a ManualClock, and `backend`, open, empty, and on that clock."""
