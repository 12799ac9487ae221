"""The mark beside a SQLite file that says that its database has been created.

Without it, a database that was emptied or deleted would look like a new one, and a server would silently begin with
an empty one: with no messages, no credentials and no memory of duplicates.
"""

import os
import re
import secrets
from pathlib import Path

from hookline.api import StoreError

_TEXT = """\
Hookline has created {name}, which belongs beside this file. If it is lost, Hookline does not begin with an empty
database, but says so. To begin with an empty one on purpose, delete this file.
id: {id:08x}
"""


class CreatedMark:
    """The mark of one database, `<name>.created`."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self.path = database.with_name(database.name + ".created")

    def check_before_open(self) -> None:
        """Raise StoreError if the database was created before, and its file is now missing or empty.

        SQLite would delete a log (`-wal`) whose database is empty, so this comes first.
        """
        log = self._database.with_name(self._database.name + "-wal")
        size = self._database.stat().st_size if self._database.exists() else None
        if size:
            return
        state = "doesn't exist" if size is None else "is empty"
        if log.exists() and log.stat().st_size:
            raise StoreError(
                f"{self._database} {state}, but its log {log} has data: put the database back. To begin with an empty "
                f"database, move {log} and {self.path} away"
            )
        if self.path.exists():
            raise self._lost(state)

    def check(self, stored_id: int, *, empty: bool) -> int:
        """Return the id of an opened database, a new one if it has none; `empty`: it has no tables.

        Raises StoreError if the mark says that there was another database here.
        """
        known = self._known_id()
        if known is not None and empty:
            raise self._lost("has no tables")
        if known is not None and stored_id and known != stored_id:
            raise StoreError(
                f"{self._database} is not the database that was here before: its id is {stored_id:08x}, and "
                f"{self.path} says {known:08x}. Put the right one back. To use this one, delete {self.path}"
            )
        return stored_id or known or secrets.randbelow(2**31 - 1) + 1

    def write(self, id_: int) -> None:
        """Write the mark, if it isn't there. Raises OSError."""
        if self.path.exists():
            return
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(_TEXT.format(name=self._database.name, id=id_))

    def _known_id(self) -> int | None:
        if not self.path.exists():
            return None
        found = re.search(r"^id: ([0-9a-f]{8})$", self.path.read_text(encoding="utf-8", errors="replace"), re.M)
        return None if found is None else int(found[1], 16)

    def _lost(self, state: str) -> StoreError:
        return StoreError(
            f"{self._database} {state}, but it was created before: put it back, or restore a backup. To begin with an "
            f"empty database, delete {self.path}"
        )
