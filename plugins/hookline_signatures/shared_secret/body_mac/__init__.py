"""Providers whose signature is a MAC of the body alone."""
