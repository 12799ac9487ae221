"""Writing an earlier version of a flow to its file."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from hookline.flows.authoring.formatter import laid_out
from hookline.flows.documents.version import SILENT


def put_back(file: Path, document: Mapping[str, Any], current: Mapping[str, Any] | None) -> None:
    """Write a document to a flow's file, in canonical form, in the place of `current`: whole, or not at all.

    What makes no version (the title) stays as `current` has it. Raises OSError.
    """
    if current is not None:
        silent = {key: value for key, value in current.items() if key in SILENT}
        document = {**{key: value for key, value in document.items() if key not in SILENT}, **silent}
    # A link stays one.
    target = file.resolve()
    mode = target.stat().st_mode if target.exists() else None
    with NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, prefix=".", suffix=".tmp", delete=False) as new:
        try:
            new.write(laid_out(document))
            new.flush()
            os.fsync(new.fileno())
            made = Path(new.name)
            made.chmod(0o644 if mode is None else mode & 0o7777)
            made.replace(target)
        except BaseException:
            Path(new.name).unlink()
            raise
