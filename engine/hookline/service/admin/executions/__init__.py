"""The admin API's routes about executions, operations on them, and rejected requests."""
