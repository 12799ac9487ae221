"""A flow's version: a hash of the document without the keys that don't change its behaviour."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from hookline.kernel.json import canonical

SILENT: Final = frozenset({"$schema", "title"})
"""The keys that don't count: changing them makes no new version."""

LENGTH: Final = 16
"""Hex digits: the probability that two of a million versions collide is 1 in 37 million."""


def version_of(document: Mapping[str, Any]) -> str:
    """The version of a document. The order of its keys and its layout don't matter."""
    counted = {key: value for key, value in document.items() if key not in SILENT}
    return hashlib.sha256(canonical(counted)).hexdigest()[:LENGTH]
