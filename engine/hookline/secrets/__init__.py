"""Secrets: the vault that encrypts them, masking, redaction and resume tokens."""
