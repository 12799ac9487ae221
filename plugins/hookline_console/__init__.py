"""The console: the pages for operators in a browser. Its code is in `web/`, and is built when Hookline is installed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hookline.api import Site, hookimpl
from hookline_console.reinstall_command import reinstall_command

_HERE: Final = Path(__file__).parent

PATHS: Final = (
    "flows",
    "executions",
    "dead-letters",
    "rejected",
    "inspector",
    "credentials",
    "components",
    "plugins",
    "deployments",
    "audit",
    "tokens",
    "nodes",
    "storage",
    "settings",
)
"""The first parts of the paths of its pages, as in `web/src/shell/pages.ts`."""


@hookimpl
def register_pages() -> Sequence[Site]:
    return (
        Site(
            name="console",
            folder=_HERE / "static",
            paths=PATHS,
            licenses=_HERE / "THIRD-PARTY-NOTICES.txt",
            remedy="There is no console: it couldn't be built when Hookline was installed, because that needs npm's "
            f"registry. Once it can be reached, install again: {reinstall_command()}",
        ),
    )
