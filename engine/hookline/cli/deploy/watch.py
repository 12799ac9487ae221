"""Watching a folder, to deploy it whenever its files change."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import click

from hookline.catalog.flow_folder import FileStamp, stamp_of
from hookline.kernel.errors import ConfigError

_SETTLED: Final = 300
"""Milliseconds without a change after which an editor, or a switch of branches, is done."""
_POLL: Final = 2000
"""Milliseconds after which the files are polled even if no change was reported, as on network file systems."""


def deploy_each_change(directory: Path, deploy: Callable[[bool], None]) -> None:
    """Call `deploy(True)` now, and `deploy(False)` each time files have changed, until Ctrl+C."""
    from watchfiles import watch

    seen = _stamps(directory)
    deploy(True)
    click.echo(f"watching {directory}; Ctrl+C ends it", err=True)
    try:
        for _ in watch(
            directory, step=_SETTLED, rust_timeout=_POLL, yield_on_timeout=True, recursive=False, watch_filter=None
        ):
            now = _stamps(directory)
            if now != seen:
                seen = now
                deploy(False)
    except KeyboardInterrupt:
        return
    except FileNotFoundError:
        raise ConfigError(f"the folder {directory} was removed") from None


def _stamps(directory: Path) -> Mapping[str, FileStamp]:
    """The stamps of the flows and of their cases, by file name."""
    found = {file.name: stamp_of(file) for file in directory.glob("*.json")}
    return {name: stamp for name, stamp in found.items() if stamp is not None}
