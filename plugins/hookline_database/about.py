"""What the connector's page of the reference says: what it is, its errors, a flow that uses it."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Reads and changes databases: SQLite, PostgreSQL, MySQL and MariaDB, and any other that SQLAlchemy knows where its
driver is installed. A step that changes something takes effect
exactly once, even where the engine dies while it runs.
"""

ERRORS: Final[Mapping[str, str]] = {
    "sql.column": "The table has no such column.",
    "sql.columns": "Two columns of a query have one name; tell them apart with `AS`.",
    "sql.driver": "The database's driver isn't installed; the message has the pip command.",
    "sql.effects": "The table by which a step takes effect exactly once can't be made or written; the message has the "
    "statement that makes it.",
    "sql.error": "The database refused the statement.",
    "sql.integrity": "A constraint doesn't hold: a key is there already, or a value is missing.",
    "sql.params": "`params` lacks a value that the statement names, or has one that it doesn't.",
    "sql.read_only": "The statement changes something, or gives no rows; `sql.execute` runs it.",
    "sql.rows": "Neither `row` nor `rows` is given, or both, or a query gives more rows than `max_rows` allows.",
    "sql.table": "There is no such table.",
    "sql.unavailable": "The database can't be reached, is locked, or gave up for a conflict; it can be tried again.",
    "sql.url": "There is no URL of a database, or one that can't or mustn't be used.",
    "sql.value": "A value doesn't fit its column or parameter.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "new-invoices",
    "trigger": {
        "use": "sql.rows",
        "with": {"url": "postgresql://reader@books.example/books", "table": "invoices", "column": "id"},
        "credential": "books",
    },
    "vars": {"archive": "sqlite:///archive.db"},
    "steps": [
        {
            "id": "archive",
            "use": "sql.insert",
            "with": {
                "url": "$.vars.archive",
                "table": "invoices",
                "row": {"id": "$.body.id", "amount": "$.body.amount"},
            },
            "retry": {"attempts": 5, "wait": "2s"},
        },
    ],
}
