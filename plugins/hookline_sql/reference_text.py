"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Reads and changes databases: SQLite, PostgreSQL, MySQL and MariaDB, and any other that SQLAlchemy supports, if its
driver is installed. A step that changes something takes effect exactly once, even if the engine dies while it runs.
PostgreSQL needs the extra `postgres`, MySQL and MariaDB the extra `mysql`. The user needs the rights for its steps, and
the right to create the table `hookline_effects`, or to read and write it if it exists already.
"""

ERRORS: Final[Mapping[str, str]] = {
    "sql.column": "The table has no such column.",
    "sql.columns": "Two columns of a query have the same name; rename one with `AS`.",
    "sql.driver": "The database's driver isn't installed; the message shows the pip command.",
    "sql.effects": "The step can't take effect exactly once: the table `hookline_effects` can't be created or "
    "written, the changed table has no transactions, or a statement that commits by itself was "
    "interrupted. The message says more.",
    "sql.error": "The database rejected the statement.",
    "sql.integrity": "A constraint is violated: a key exists already, or a value is missing.",
    "sql.key": "The key doesn't identify a row: it isn't unique in the table, or is missing or null.",
    "sql.overlap": "`overlap` doesn't match the type of the column.",
    "sql.params": "`params` lacks a value that the statement names, or has one that it doesn't name.",
    "sql.read_only": "The statement changes something, or returns no rows; use `sql.execute`.",
    "sql.rows": "Neither `row` nor `rows` is given, or both are, or a query returns more rows than `max_rows` allows.",
    "sql.table": "There is no such table.",
    "sql.transaction": "A statement commits by itself, so it can't take effect together with others.",
    "sql.unavailable": "The database can't be reached, is locked, or rolled back after a conflict. It can be retried.",
    "sql.upsert": "`sql.upsert` doesn't support this database.",
    "sql.url": "There is no URL of a database, or it can't or mustn't be used.",
    "sql.value": "A value doesn't fit its column or parameter.",
    "sql.where": "`where` is empty, which would select all rows.",
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
