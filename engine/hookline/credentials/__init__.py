"""Credentials: storing and checking them, OAuth 2 tokens, and the options that a service offers."""
