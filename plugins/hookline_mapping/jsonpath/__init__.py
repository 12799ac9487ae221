"""The mapper `jsonpath`."""
