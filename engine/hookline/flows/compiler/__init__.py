"""Compiling a whole flow from its document."""
