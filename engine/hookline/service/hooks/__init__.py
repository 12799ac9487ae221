"""Requests to hooks and callbacks, from their head to the response."""
