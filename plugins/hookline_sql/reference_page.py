"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Reads and changes databases: SQLite, PostgreSQL, MySQL and MariaDB, and any other that SQLAlchemy knows where its
driver is installed. A step that changes something takes effect exactly once, even where the engine dies while it runs.
PostgreSQL needs the extra `postgres`, MySQL and MariaDB the extra `mysql`. The user needs the rights of what its steps
do, and to make the table `hookline_effects`, or to read and write it once somebody has made it.
"""

ERRORS: Final[Mapping[str, str]] = {
    "sql.column": "The table has no such column.",
    "sql.columns": "Two columns of a query have one name; tell them apart with `AS`.",
    "sql.driver": "The database's driver isn't installed; the message has the pip command.",
    "sql.effects": "The step can't be held to take effect once: its table can't be made or written, the table that it "
    "changes has no transactions, or a statement that commits by itself was cut off. The message says more.",
    "sql.error": "The database rejected the statement.",
    "sql.integrity": "A constraint doesn't hold: a key is there already, or a value is missing.",
    "sql.key": "What should tell a row from others doesn't: nothing keeps it unique, or it is missing or null.",
    "sql.overlap": "`overlap` doesn't go with the type of the column.",
    "sql.params": "`params` lacks a value that the statement names, or has one that it doesn't.",
    "sql.read_only": "The statement changes something, or gives no rows; `sql.execute` runs it.",
    "sql.rows": "Neither `row` nor `rows` is given, or both, or a query gives more rows than `max_rows` allows.",
    "sql.table": "There is no such table.",
    "sql.transaction": "A statement commits by itself, and can't be one of several that take effect together.",
    "sql.unavailable": "The database can't be reached, is locked, or gave up for a conflict; it can be tried again.",
    "sql.upsert": "The database has no statement for it that is known.",
    "sql.url": "There is no URL of a database, or one that can't or mustn't be used.",
    "sql.value": "A value doesn't fit its column or parameter.",
    "sql.where": "`where` says nothing, and would mean all rows.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "new-invoices",
    "trigger": {
        "use": "sql.rows",
        "with": {"url": "postgresql://reader@books.example/books", "table": "invoices", "column": "id"},
        "credential": "books",
    },
    "vars": {"archive": "mysql://writer@archive.example/invoices"},
    "steps": [
        {
            "id": "archive",
            "use": "sql.upsert",
            "with": {
                "url": "$.vars.archive",
                "table": "invoices",
                "row": {"id": "$.body.id", "amount": "$.body.amount"},
            },
            "credential": "archive",
            "retry": {"attempts": 5, "wait": "2s"},
        },
    ],
}
