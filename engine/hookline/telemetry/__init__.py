"""Telemetry: metrics, the events of executions, and the record of rejected requests."""
