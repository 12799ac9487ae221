"""A bucket as a blob store."""
