"""A message as commands are given it: a body in a file, headers as options."""

import sys
from pathlib import Path
from typing import Any

import click

from hookline.kernel.errors import ConfigError
from hookline.kernel.json import decode


def body_of(path: Path | None, *, exact: bool, otherwise: str = "") -> Any:
    """The JSON value, or else the text, of a file (`-` is standard input); null without one. Raises ConfigError.

    `otherwise`: what to do with a file that is neither.
    """
    if path is None:
        return None
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the input {path} can't be read: {error.strerror}") from error
    try:
        return decode(data, exact=exact)
    except ValueError as error:
        if path.suffix == ".json":
            raise ConfigError(f"the input {path} is not JSON: {error}") from error
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"the input {path} is neither JSON nor text{otherwise}") from None


def headers_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """Headers written as NAME:VALUE."""
    headers = {}
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"a header is written as NAME:VALUE, and not as {pair!r}")
        headers[name.strip().lower()] = value.strip()
    return headers
