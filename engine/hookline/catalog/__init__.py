"""The flows of a folder as they serve now, with their versions and states."""
