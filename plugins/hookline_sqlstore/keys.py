"""Dedupe keys as the unique index holds them."""

import hashlib


def key_hash(dedupe_key: str) -> bytes:
    """SHA-256: a key may be longer than an index takes, and hold what a database's text can't."""
    return hashlib.sha256(dedupe_key.encode()).digest()
