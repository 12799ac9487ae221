"""The limits of a connection to SQLite: one file, no extensions, bounded values, and no settings of the process."""

import sqlite3
import sys
from typing import Any, Final

LONGEST: Final = 16 * 1024 * 1024
"""The most bytes of a text, a blob or a row. A single function could otherwise take a gigabyte of memory."""
_SQL: Final = 1_000_000
"""The most bytes of a statement."""
_COLUMNS: Final = 200
"""The most columns of a table or a result."""
_LIMITS: Final = {
    sqlite3.SQLITE_LIMIT_LENGTH: LONGEST,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: _SQL,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_COLUMN: _COLUMNS,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
#: The pragmas that say something about the database, or change only that. Others open files, take memory of the whole
#: process, or switch off checks.
_PRAGMAS: Final = frozenset(
    {
        "application_id",
        "auto_vacuum",
        "collation_list",
        "compile_options",
        "data_version",
        "database_list",
        "defer_foreign_keys",
        "encoding",
        "foreign_key_check",
        "foreign_key_list",
        "foreign_keys",
        "freelist_count",
        "function_list",
        "incremental_vacuum",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "journal_mode",
        "optimize",
        "page_count",
        "page_size",
        "query_only",
        "quick_check",
        "read_uncommitted",
        "recursive_triggers",
        "synchronous",
        "table_info",
        "table_list",
        "table_xinfo",
        "user_version",
        "wal_checkpoint",
    }
)
_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
"""Functions that load code or open files, where SQLite was built with them."""


def limit(connection: sqlite3.Connection, _record: object) -> None:
    """Limit a new connection."""
    for category, most in _LIMITS.items():
        connection.setlimit(category, most)
    # A file that a flow wrote may be anything: what its schema names isn't trusted.
    connection.execute("PRAGMA trusted_schema = OFF")
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, False)
    connection.set_authorizer(_authorize)


def _allows(pragma: str, value: str | None) -> bool:
    # SQLite knows a mode by its first letters. A journal that stays would let a flow choose what is in it.
    return pragma in _PRAGMAS and (pragma != "journal_mode" or value is None or value.lower() in ("wal", "delete"))


def _authorize(action: int, first: str | None, second: str | None, *_: Any) -> int:
    if action == sqlite3.SQLITE_ATTACH:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and not _allows((first or "").lower(), second):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
