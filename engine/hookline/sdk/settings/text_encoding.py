"""The type of a setting that is a text encoding."""

from typing import Annotated

from pydantic import AfterValidator

from hookline.bodies.text import known_charset


def _of_text(name: str) -> str:
    charset = known_charset(name)
    if charset is None:
        raise ValueError(f"{name!r} is not a text encoding; use one such as utf-8, windows-1252 or iso-8859-15")
    return charset


Encoding = Annotated[str, AfterValidator(_of_text)]
"""A text encoding, by the name that Python has for it, such as `utf-8`, `cp1252` or `iso8859-15`."""
