"""What values in a flow look like, as far as that is known before it runs; what isn't known is never wrong."""
