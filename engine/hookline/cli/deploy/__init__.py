"""The commands that change the flows of a server, and show what a change means."""
