"""Hookline: a plugin-based workflow engine for webhooks."""

__version__ = "0.1.0"
