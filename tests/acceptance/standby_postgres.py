"""A PostgreSQL with a standby that confirms each commit, as a test's own."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.own_postgres import OwnPostgres

_NAME = "standby"


class Standby(OwnPostgres):
    """A hot standby of another server, which receives all that the other one writes."""

    def __init__(self, primary: OwnPostgres, folder: Path) -> None:
        super().__init__(folder)
        self._primary = primary

    def create(self, initdb: Path, data: Path) -> None:
        source = f"host={self._primary.host} port={self._primary.port} user=hookline application_name={_NAME}"
        subprocess.run(
            [
                *self.user,
                str(initdb.resolve().with_name("pg_basebackup")),
                *("-D", str(data), "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync"),
            ],
            check=True,
            cwd="/",
        )

    def promote(self) -> None:
        """Make it a primary, and wait until it is one."""
        assert self.run("SELECT pg_promote()")


@contextlib.contextmanager
def primary_and_standby(folder: Path) -> Iterator[tuple[OwnPostgres, Standby]]:
    """Two servers, of which the first one confirms a commit only after the second one has it."""
    for name in ("primary", "standby"):
        (folder / name).mkdir()
    with OwnPostgres(folder / "primary") as primary, Standby(primary, folder / "standby") as standby:
        primary.run(f"ALTER SYSTEM SET synchronous_standby_names = '{_NAME}'")
        primary.run("SELECT pg_reload_conf()")
        yield primary, standby


def url_of(*servers: OwnPostgres) -> str:
    """The URL of a database that any of the servers may have."""
    hosts = "&".join(f"host={server.host}:{server.port}" for server in servers)
    return f"postgresql://hookline@/postgres?{hosts}&target_session_attrs=read-write"
