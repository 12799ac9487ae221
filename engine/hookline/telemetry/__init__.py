"""Metrics, events and the record of rejected requests."""
