"""The connector `lookup`."""
