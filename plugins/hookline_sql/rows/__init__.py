"""The actions of a table's rows, and the trigger `sql.rows`."""
