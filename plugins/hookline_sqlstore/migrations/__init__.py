"""What brings a database's tables up to date, one file a step."""
