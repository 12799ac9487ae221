"""The databases: SQLite and PostgreSQL, with grouped writes and concurrent reads."""
