"""Providers that prove who they are with a secret that both sides know."""
