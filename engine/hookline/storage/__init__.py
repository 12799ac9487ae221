"""The interfaces that a backend must provide, and the changes that can be committed."""
