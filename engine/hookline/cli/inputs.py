"""Inputs of commands: the body and the headers of a message."""

import sys
from pathlib import Path
from typing import Any

import click

from hookline.kernel.errors import ConfigError
from hookline.kernel.json import decode


def read_input(path: Path | None, *, exact: bool, otherwise: str = "") -> Any:
    """Return the JSON value, or else the text, of a file (`-` is standard input); None without a file.

    `otherwise`: the remedy for a file that is neither. Raises ConfigError.
    """
    if path is None:
        return None
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the input {path} can't be read: {error.strerror}") from error
    try:
        return decode(data, exact=exact)
    except RecursionError:
        raise ConfigError(f"the input {path} is nested too deeply") from None
    except ValueError as error:
        if path.suffix == ".json":
            raise ConfigError(f"the input {path} is not JSON: {error}") from error
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"the input {path} is neither JSON nor text{otherwise}") from None


def headers_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return headers that are written as NAME:VALUE, with their names in lower case."""
    return {name.lower(): value for name, value in header_pairs(pairs)}


def header_pairs(pairs: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return headers that are written as NAME:VALUE, as they are written."""
    headers = []
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"a header is written as NAME:VALUE, not as {pair!r}")
        headers.append((name.strip(), value.strip()))
    return headers
