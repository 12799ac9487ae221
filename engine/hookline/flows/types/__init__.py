"""The types of values in a flow, as far as they are known before it runs."""
