"""Reading executions: one, lists of them, their journals and waits, and those that are open or removable."""
