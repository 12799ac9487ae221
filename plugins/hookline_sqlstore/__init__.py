"""SQLite and PostgreSQL as backends: store and queue in one set of tables."""

from collections.abc import Mapping

from hookline.api import hookimpl
from hookline.api_storage import BackendFactory


@hookimpl
def register_backends() -> Mapping[str, BackendFactory]:
    # Imported here, because discovery imports every plugin, also for commands that open no database.
    from hookline_sqlstore.backend_makers import postgresql, sqlite

    return {"sqlite": sqlite, "postgresql": postgresql}
