"""The schemas of bodies: a flow's JSON Schema, and the cost of a check by it."""
