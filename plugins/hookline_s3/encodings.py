"""Text encodings, by the names that Python knows."""

import codecs
from typing import Annotated

from pydantic import AfterValidator


def _of_text(name: str) -> str:
    try:
        # A codec such as `base64` isn't one of text.
        "".encode(name)
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"{name!r} is no text encoding; use one such as utf-8, windows-1252 or iso-8859-15") from None


Encoding = Annotated[str, AfterValidator(_of_text)]
"""A text encoding: `utf-8`, `windows-1252`, `iso-8859-15`, …"""
