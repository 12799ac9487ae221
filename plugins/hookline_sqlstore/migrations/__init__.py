"""The migrations of the tables, one file for each."""
