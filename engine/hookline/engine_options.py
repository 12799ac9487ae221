"""The options that an engine is given."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

Role = Literal["all", "webhook", "worker"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The engine's settings; the command line makes them from its configuration."""

    db: str
    """URL of the backend, `sqlite:///…` or `postgresql://…`."""
    blobs: str
    """URL of the blob store, `file:///…`."""
    flows: Path | None
    """The folder with the flows' files; None if the flows are served from the database."""
    secret_keys: tuple[bytes, ...] = ()
    """Keys that encrypt credentials; the first one encrypts, all decrypt."""
    keep_new_key: Callable[[], None] | None = None
    """Stores the key, if it was made for this engine. It isn't called if the store has data that needs another key."""
    drop_new_key: Callable[[], None] = lambda: None
    """Removes what `keep_new_key` has stored, because another node was first, at the same moment."""
    db_listen: str | None = None
    """URL of the same database for the session that hears other nodes; None if `db` serves for that, too."""
    queue: str | None = None
    """URL of the intake queue in front of the store, `nats://…`; None if there is none."""
    intake_stale: timedelta = timedelta(minutes=5)
    """The time for which messages are accepted into the intake queue after the store has answered last."""
    role: Role = "all"
    node_name: str = field(default_factory=socket.gethostname)
    """The name of this node in lists, logs and metrics."""
    watch: bool = True
    """Deploy changed flow files while running."""
    triggers: bool = True
    """Run sources: schedules, polls, brokers and subscriptions."""
    public_url: str = "http://127.0.0.1:8080"
    public_url_set: bool = False
    """The public URL was configured, and is not only the address on which the server listens."""
    unverified_flows: tuple[str, ...] | None = None
    """Patterns of the ids of the flows that may accept unverified requests; None for all."""
    egress_allow: tuple[str, ...] = ()
    """Networks or hosts with internal addresses that outgoing requests may reach."""
    files_root: Path | None = None
    """The folder under which actions may read and write files."""
    file_retention: timedelta = timedelta(days=30)
    """The time for which files are kept after the end of the executions that refer to them."""
    retention: timedelta = timedelta(days=30)
    """The time for which executions are kept after their end, unless their flow has its own retention."""
    audit_retention: timedelta = timedelta(days=400)
    """The time for which audit entries are kept."""
    disk_budget: int | None = None
    """The most bytes that executions and their files may take; None means no limit."""
    max_request_time: timedelta = timedelta(minutes=30)
    """The longest time of a request; files without references are removed after twice that time, and after at least an
    hour."""
    max_backlog: int = 1_000_000
    """The most queued executions of one flow; above that, it answers 429."""
    max_backlog_total: int = 5_000_000
    """The most queued executions of all flows; above that, each flow answers 429."""
    step_timeout: timedelta = timedelta(hours=1)
    """The timeout of a step whose flow sets none."""
    grace: float = 20.0
    """The seconds that running executions have to finish when the engine stops."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The environment in which `HOOKLINE_VARS_<FLOW>__<NAME>` is looked up."""
