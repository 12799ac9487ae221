"""Distributions laid out in a folder on the path, as pip would install them."""

import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("PYTHONPATH", str(folder))

    def install(
        self,
        distribution: str,
        source: str | None,
        *,
        name: str | None = None,
        version: str = "1.0",
        module: str | None = None,
        group: str = "hookline",
        metadata: Sequence[str] = (),
        described: str | None = None,
        editable: Path | None = None,
    ) -> Path:
        """Install one; `source` is its package's, `metadata` further lines of its METADATA. Gives the package."""
        package = distribution.replace("-", "_")
        name = name or distribution.removeprefix("hookline-")
        if source is not None:
            (self.folder / package).mkdir()
            (self.folder / package / "__init__.py").write_text(textwrap.dedent(source), encoding="utf-8")
        if described is not None:
            (self.folder / package / "hookline-plugin.json").write_text(described, encoding="utf-8")
        about = self.folder / f"{package}-{version}.dist-info"
        about.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}", *metadata]
        (about / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {module or package}\n", encoding="utf-8")
        (about / "RECORD").write_text(f"{package}/__init__.py,,\n{about.name}/METADATA,,\n", encoding="utf-8")
        if editable is not None:
            url = {"url": editable.as_uri(), "dir_info": {"editable": True}}
            (about / "direct_url.json").write_text(json.dumps(url), encoding="utf-8")
        return self.folder / package

    def forget(self) -> None:
        """Let nothing of it stay imported."""
        for module in [
            name for name, one in sys.modules.items() if str(self.folder) in str(getattr(one, "__file__", ""))
        ]:
            del sys.modules[module]
