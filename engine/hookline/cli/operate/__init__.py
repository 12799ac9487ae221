"""The commands for operators of a server."""
