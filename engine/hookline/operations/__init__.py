"""The operations of operators: retry, replay, cancel, discard, resume and release executions, also in bulk."""
