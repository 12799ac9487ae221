"""The connector `file`."""
