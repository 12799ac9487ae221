"""Installing Hookline from its source, its sdist and its wheel: each ends with the console, or says how to get it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.acceptance.server_process import ServerProcess
from tests.services import need_program

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ROOT: Final = Path(__file__).parents[2]
#: npm asks a registry that can't be reached, and has nothing of an earlier time.
NO_REGISTRY: Final = {"npm_config_registry": "http://127.0.0.1:9", "npm_config_cache": "/nonexistent"}
_PATIENCE: Final = 400.0
PIP: Final = ("-m", "pip", "--disable-pip-version-check")


class Environment:
    """A virtual environment in which everything that Hookline needs is installed, but not Hookline."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.python = str(folder / "bin" / "python")
        # A file with a path has no effect on the `.pth` files there: an editable Hookline isn't found by it.
        (site,) = (folder / "lib").glob("python*/site-packages")
        (others,) = (Path(sys.prefix) / "lib").glob("python*/site-packages")
        (site / "others.pth").write_text(f"{others}\n")

    def begin(self, *arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        """Run a program of Python, and don't wait."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}
        return subprocess.Popen(
            [self.python, *arguments],
            cwd=cwd,
            env=kept | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, cwd: Path | None = None, **variables: str) -> str:
        """Run a program of Python; return what it prints."""
        process = self.begin(*arguments, cwd=cwd, **variables)
        return finished(process)

    def front_page(self, folder: Path) -> tuple[int, str]:
        """Start a server and ask for its `/`."""
        folder.mkdir()
        server = ServerProcess(folder, python=self.python)
        try:
            server.start(_PATIENCE)
            with urlopen(server.url, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        finally:
            server.stop()


def finished(process: subprocess.Popen[str]) -> str:
    """What a program has printed, once it has ended well."""
    output, _ = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, output[-4000:]
    return output


def copy_source(to: Path) -> Path:
    """A fresh clone, with what isn't committed yet: nothing is built in it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


@pytest.fixture
def timed(record_property: Callable[[str, object], None]) -> Callable[[str], "Timed"]:
    return lambda name: Timed(name, record_property)


class Timed:
    """Records how long something takes."""

    def __init__(self, name: str, record: Callable[[str, object], None]) -> None:
        self._name = name
        self._record = record

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        took = round(time.monotonic() - self._began, 1)
        self._record(self._name, took)
        print(f"{self._name}: {took} s")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone, in which the first test builds the console."""
    need_program("git", "git")
    need_program("Node.js", "npm")
    return copy_source(tmp_path_factory.mktemp("source"))


@pytest.mark.console_rule("K1")
def test_two_editable_installations_at_once_have_the_console(
    source: Path, tmp_path: Path, timed: Callable[[str], Timed]
) -> None:
    environments = [Environment(tmp_path / name) for name in ("one", "two")]
    with timed("two editable installations at once, from a fresh clone"):
        installs = [
            each.begin(*PIP, "install", "--no-deps", "-e", str(source), HOOKLINE_REQUIRE_CONSOLE="1")
            for each in environments
        ]
        for process in installs:
            finished(process)
    for number, each in enumerate(environments):
        status, page = each.front_page(tmp_path / f"server{number}")
        assert (status, "<!doctype html>" in page.lower()) == (200, True), page
        assert str(source) in each.run("-c", "import hookline; print(hookline.__file__)")
    with timed("another editable installation, with the console built"):
        environments[0].run(
            *PIP, "install", "--no-deps", "-e", str(source), **NO_REGISTRY, HOOKLINE_REQUIRE_CONSOLE="1"
        )


@pytest.mark.console_rule("K1")
def test_the_sdist_and_its_wheel_have_the_console_and_need_no_registry(
    source: Path, tmp_path: Path, timed: Callable[[str], Timed]
) -> None:
    made, installed = Environment(tmp_path / "made"), Environment(tmp_path / "installed")
    with timed("building the sdist"):
        made.run(
            "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path), cwd=source, HOOKLINE_REQUIRE_CONSOLE="1"
        )
    (sdist,) = tmp_path.glob("hookline-*.tar.gz")
    with timed("building the wheel of the sdist, without npm's registry"):
        made.run(
            *PIP, "wheel", "--no-deps", "-w", str(tmp_path), str(sdist), **NO_REGISTRY, HOOKLINE_REQUIRE_CONSOLE="1"
        )
    (wheel,) = tmp_path.glob("hookline-*.whl")
    with timed("installing the wheel"):
        # The tests may themselves run with an installed wheel of the same version.
        installed.run(*PIP, "install", "--no-deps", "--no-index", "--ignore-installed", str(wheel))
    shutil.rmtree(tmp_path / "made")
    status, page = installed.front_page(tmp_path / "server")
    assert (status, "<!doctype html>" in page.lower()) == (200, True), page
    assert "/installed/" in installed.run("-c", "import hookline; print(hookline.__file__)")


@pytest.mark.console_rule("K2")
def test_without_the_registry_the_server_says_how_to_get_the_console(
    tmp_path: Path, timed: Callable[[str], Timed]
) -> None:
    need_program("Node.js", "npm")
    source, environment = copy_source(tmp_path / "source"), Environment(tmp_path / "environment")
    with timed("installing a fresh clone without npm's registry"):
        shown = environment.run(*PIP, "install", "-v", "--no-deps", str(source), **NO_REGISTRY)
    assert "Hookline is installed without its console" in shown
    status, page = environment.front_page(tmp_path / "server")
    assert status == 404
    assert "There is no console: it couldn't be built when Hookline was installed" in page
    assert "pip install --force-reinstall" in page
    log = (tmp_path / "server" / "server.log").read_text()
    assert "There is no console" in log
    required = environment.begin(*PIP, "install", "--no-deps", str(source), **NO_REGISTRY, HOOKLINE_REQUIRE_CONSOLE="1")
    output, _ = required.communicate(timeout=_PATIENCE)
    assert required.returncode != 0
    assert "NotBuilt" in output
