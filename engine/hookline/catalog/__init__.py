"""The catalog: the flows of a folder, their versions and their states."""
