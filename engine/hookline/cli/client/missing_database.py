"""A SQLite database that doesn't exist: the error, and whether a command creates it."""

from pathlib import Path

from hookline.cli.client.in_process import Missing
from hookline.cli.client.remote_choice import remote_of
from hookline.kernel.errors import ConfigError
from hookline.server_settings import DATABASE, Settings


class NoDatabase(ConfigError):
    """There is no database where the settings say."""

    code = "database.missing"


def created_for(settings: Settings, flow_id: str) -> Missing:
    """Return that a database is created for a flow, if the flow is in the flows directory."""
    if settings.flows == DATABASE:
        return "rejected"
    return "created" if (settings.flows_dir / f"{flow_id}.json").is_file() else "rejected"


def check_exists(settings: Settings) -> None:
    """Raise NoDatabase if the settings name a SQLite database that doesn't exist."""
    file = settings.sqlite_file
    if file is not None and not file.exists():
        raise NoDatabase(_nowhere(file))


def is_new(settings: Settings) -> bool:
    """Return true if the database doesn't exist yet; that of a remote server always exists."""
    file = settings.sqlite_file
    return remote_of(settings) is None and file is not None and not file.exists()


def _nowhere(file: Path) -> str:
    """The message about a database that doesn't exist, with others that are near."""
    patterns = ("*/hookline.db", "*/.hookline/hookline.db")
    others = sorted({str(found) for pattern in patterns for found in Path().glob(pattern)})
    known = "".join(f"\n  --db sqlite:///{other}" for other in others[:5])
    return (
        f"there is no database {file} (in {Path.cwd()}), and nothing was created; run this in the directory of the "
        "server, or name its database with --db or HOOKLINE_DB, or its settings with `hookline --config FILE`"
        + (f"; there are these:{known}" if known else "")
    )
