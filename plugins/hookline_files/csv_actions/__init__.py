"""The connector `csv`."""
