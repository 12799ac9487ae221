"""The token that the admin API takes."""

import hmac

from quart import request


def bears(token: str) -> bool:
    """Whether the request has the admin token."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    # Compared also where the kind is wrong, so that every refusal takes as long.
    right = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    return right and kind.lower() == "bearer"
