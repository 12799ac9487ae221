"""The commands that serve, and those about the state of the server, installed plugins and the database itself."""
