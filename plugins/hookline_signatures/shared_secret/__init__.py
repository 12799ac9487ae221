"""Providers that prove their identity with a secret that both sides know."""
