"""What an engine is told when it is made."""

from collections.abc import Mapping
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
    flows: Path
    """The folder with the flows' files."""
    secret_keys: tuple[bytes, ...] = ()
    """Keys that encrypt credentials; the first one encrypts, all decrypt."""
    role: Role = "all"
    watch: bool = True
    """Take changes of the flows' files up while running."""
    triggers: bool = True
    """Let schedules and polls start flows, and subscribe with providers."""
    public_url: str = "http://127.0.0.1:8080"
    public_url_set: bool = False
    """Somebody has said that it is so, and not only that the server listens there."""
    egress_allow: tuple[str, ...] = ()
    """Networks or hosts that outgoing requests may reach although they are inside addresses."""
    files_root: Path | None = None
    """The folder under which actions may read and write files."""
    file_retention: timedelta = timedelta(days=30)
    """For how long files are kept once the executions that refer to them have ended."""
    retention: timedelta = timedelta(days=30)
    """For how long executions are kept once they have ended, unless their flow says otherwise."""
    disk_budget: int | None = None
    """Bytes that database and files may take; None: as many as there are."""
    max_request_time: timedelta = timedelta(minutes=30)
    """What a request may take; files that nothing refers to are swept from twice that age on, and an hour at least."""
    max_backlog: int = 1_000_000
    """Queued executions of one flow, above which it answers 429."""
    max_backlog_total: int = 5_000_000
    """Queued executions of all flows, above which each answers 429."""
    step_timeout: timedelta = timedelta(hours=1)
    """The longest time for a step whose flow says nothing of it."""
    grace: float = 20.0
    """Seconds that running executions have to finish when the engine stops."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Where `HOOKLINE_VARS_<FLOW>__<NAME>` is looked up."""
