"""What every store has to do. A backend's tests subclass `StoreContract` and give the fixtures that it names."""

from hookline.testing.contract_store.accepting import AcceptingContract
from hookline.testing.contract_store.batches import BatchesContract
from hookline.testing.contract_store.callbacks import CallbacksContract
from hookline.testing.contract_store.commits import CommitsContract
from hookline.testing.contract_store.credentials import CredentialsContract
from hookline.testing.contract_store.dead_letters import DeadLettersContract
from hookline.testing.contract_store.ends import EndsContract
from hookline.testing.contract_store.files import FilesContract
from hookline.testing.contract_store.flow_values import FlowValuesContract
from hookline.testing.contract_store.flows import FlowsContract
from hookline.testing.contract_store.items import ItemsContract
from hookline.testing.contract_store.journal import JournalContract
from hookline.testing.contract_store.lists import ListsContract
from hookline.testing.contract_store.purging import PurgingContract
from hookline.testing.contract_store.refused import RefusedContract
from hookline.testing.contract_store.replays import ReplaysContract
from hookline.testing.contract_store.seals import SealsContract
from hookline.testing.contract_store.states import StatesContract
from hookline.testing.contract_store.subscriptions import SubscriptionsContract
from hookline.testing.contract_store.work import WorkContract


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
