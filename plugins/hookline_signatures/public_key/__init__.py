"""Providers that sign with a private key."""
