"""The commands that serve, and those about installed plugins and about the database itself."""
