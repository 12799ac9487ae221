"""The queries of the store and the queue."""
