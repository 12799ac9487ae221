"""A flow's version: a hash of what it does."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from hookline.kernel.json import canonical

SILENT: Final = frozenset({"$schema", "title"})
"""What a document may say without being another version."""

LENGTH: Final = 16
"""Hex digits: among a million versions, two are alike once in 37 million times."""


def version_of(document: Mapping[str, Any]) -> str:
    """The version of a document; the same whatever the order of its keys and its layout."""
    telling = {key: value for key, value in document.items() if key not in SILENT}
    return hashlib.sha256(canonical(telling)).hexdigest()[:LENGTH]
