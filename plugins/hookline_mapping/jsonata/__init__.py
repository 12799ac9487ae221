"""The mapper `jsonata`."""
