"""The commands that serve, and those about installed plugins."""
