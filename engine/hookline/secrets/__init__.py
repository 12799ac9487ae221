"""Keeping secrets secret: the vault that encrypts, masking, redaction and unguessable tokens."""
