"""The schemas of bodies: the JSON Schema of a flow judges its messages within a bounded time."""
