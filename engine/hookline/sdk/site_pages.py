"""Sites: pages for people, which a server shows at `/`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

NONCE: Final = "__NONCE__"
"""In `index.html`, this word stands for the nonce of the page. Without it no script or style is loaded, since what
a flow answers has the same origin."""


@dataclass(frozen=True, slots=True)
class Site:
    """One HTML page with its assets. The server sends the page for each path of the site, and its script does the rest.

    The server sets the headers: the page may load scripts, styles and data from this server alone.
    """

    name: str
    folder: Path
    """The folder of `index.html`, and of `assets/`. The name of an asset changes with its content."""
    paths: tuple[str, ...]
    """The first part of each path besides `/`: `flows` is for `/flows` and for everything below it."""
    licenses: Path
    """A text file: the licenses of the code in the assets."""
    remedy: str
    """The remedy if `index.html` isn't there."""

    @property
    def is_built(self) -> bool:
        """True if its files are there. They may be generated when the plugin is installed."""
        return (self.folder / "index.html").is_file()
