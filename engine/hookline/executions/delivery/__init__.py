"""The delivery of executions: their slots, loading and running them, and the timers of those that wait."""
