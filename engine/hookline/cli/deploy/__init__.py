"""The commands that list and change the flows of a server, and show the effect of a change."""
