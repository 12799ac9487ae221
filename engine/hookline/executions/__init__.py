"""The execution of flows, from the delivery of a message to the end of its execution."""
