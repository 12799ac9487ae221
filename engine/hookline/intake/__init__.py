"""Accepting messages and callbacks, within limits."""
