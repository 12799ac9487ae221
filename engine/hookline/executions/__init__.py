"""Running executions, from the queue to their end."""
