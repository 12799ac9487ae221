"""The actions on the rows of a table, and the trigger `sql.rows`."""
