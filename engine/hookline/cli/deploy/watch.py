"""The files of a folder that are deployed again whenever they change."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import click

from hookline.kernel.errors import ConfigError

_SETTLED: Final = 300
"""Milliseconds without a change after which an editor, or a switch of branches, is done."""
_LOOK: Final = 2000
"""Milliseconds after which the files are looked at even if no change was reported, as on network file systems."""

_Stamps = Mapping[str, tuple[int, int, int]]


def each_change(directory: Path, deploy: Callable[[bool], None]) -> None:
    """Call `deploy(True)` now, and `deploy(False)` each time files have changed, until Ctrl-C."""
    from watchfiles import watch

    seen = _stamps(directory)
    deploy(True)
    click.echo(f"watching {directory}; Ctrl-C ends it", err=True)
    try:
        for _ in watch(
            directory, step=_SETTLED, rust_timeout=_LOOK, yield_on_timeout=True, recursive=False, watch_filter=None
        ):
            now = _stamps(directory)
            if now != seen:
                seen = now
                deploy(False)
    except KeyboardInterrupt:
        return
    except FileNotFoundError:
        raise ConfigError(f"the folder {directory} was removed") from None


def _stamps(directory: Path) -> _Stamps:
    found: dict[str, tuple[int, int, int]] = {}
    for file in directory.glob("*.json"):
        try:
            status = file.stat()
        except OSError:
            continue
        found[file.name] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return found
