"""The commands for authors of flows."""
