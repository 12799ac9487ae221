"""What goes when it has been kept long enough."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Purge:
    """Executions go, with their journals, messages, and references to files.

    One that has not ended, was reopened, or holds its order key stays. Of one whose dedupe key is still taken, only
    that is kept: whoever asks for the execution finds none.
    """

    execution_ids: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class ForgetKeys:
    """Dedupe keys of purged executions go whose windows are over, as many as one commit may take."""

    at: datetime


@dataclass(frozen=True, slots=True)
class ForgetVersions:
    """Versions of a flow go. One that an execution is bound to which has not ended stays."""

    flow_id: str
    versions: tuple[str, ...]
