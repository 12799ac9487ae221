"""Cases as tests of pytest, and fixtures that run a flow, an action or a poll; loaded only where it is asked for.

`pytest_plugins = ["hookline.testing.pytest_plugin"]` in the topmost `conftest.py` asks for it, and so does
`-p hookline.testing.pytest_plugin`.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pytest

from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.compiler.compile import compile_flow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.kernel.clocks import SystemClock
from hookline.kernel.errors import ConfigError, FlowInvalid
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.simulation.case_files import ENDING, flow_file_of, load_cases
from hookline.simulation.case_run import CaseResult, CaseRunner
from hookline.simulation.cases import Case
from hookline.testing.connector_harness import Harness
from hookline.testing.fake_http import Cassette


class RunFlow(Protocol):
    """The type of the fixture `run_flow`."""

    def __call__(self, flow: str | Path, body: Any = None, **case: Any) -> CaseResult:
        """Run the flow in a file on a body; `case` has the other keys of a case, `expect` included if wanted.

        Without `expect` it passes where the flow completes.
        """
        ...


class _Bench:
    """Runs cases in a thread of its own, so that tests with an event loop can use it, too."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "hookline cases")
        self._folder = tempfile.TemporaryDirectory(prefix="hookline-pytest-")

    @cached_property
    def registry(self) -> Registry:
        """The installed plugins."""
        return load_plugins()

    @cached_property
    def _runner(self) -> CaseRunner:
        factory = self.registry.blob_stores.get("file")
        if factory is None:
            raise ConfigError("no plugin gives a blob store for file: URLs; `hookline plugins` shows which work")
        return CaseRunner(self.registry, factory(f"file://{self._folder.name}", clock=SystemClock()))

    def run(self, flow: CompiledFlow, case: Case, folder: Path) -> CaseResult:
        """Run a case, and return its result."""
        return self._thread.submit(lambda: self._runner.run(flow, case, folder)).result()

    def close(self) -> None:
        """Close what was opened."""
        if "_runner" in self.__dict__:
            self._thread.submit(self._runner.close).result()
        self._thread.shutdown()
        self._folder.cleanup()


_BENCH = pytest.StashKey[_Bench]()


def pytest_configure(config: pytest.Config) -> None:
    """Make ready; nothing is opened before it is used."""
    config.stash[_BENCH] = _Bench()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close it."""
    config.stash[_BENCH].close()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Case files that stand beside a flow."""
    if not file_path.name.endswith(ENDING) or not flow_file_of(file_path).exists():
        return None
    return CasesOfFlow.from_parent(parent, path=file_path)


@pytest.fixture
def run_flow(pytestconfig: pytest.Config) -> RunFlow:
    """Runs a flow, its effects stubbed, in time that leaps."""
    bench = pytestconfig.stash[_BENCH]

    def run(flow: str | Path, body: Any = None, **case: Any) -> CaseResult:
        path = Path(flow)
        compiled = compile_flow(read(path.read_bytes(), str(path)), bench.registry)
        given = {"name": path.stem, "input": {"body": body}, "expect": {"outcome": "completed"}, **case}
        return bench.run(compiled, Case.model_validate(given), path.parent)

    return run


@pytest.fixture
async def harness(pytestconfig: pytest.Config) -> AsyncIterator[Harness]:
    """Runs actions and triggers of what is installed: `await harness.run_action("acme.create_order", sku="a")`.

    Its `http` answers what it is told; a test may put a cassette in its place.
    """
    made = Harness(pytestconfig.stash[_BENCH].registry)
    yield made
    await made.close()


@pytest.fixture
async def cassette(harness: Harness, request: pytest.FixtureRequest) -> AsyncIterator[Cassette]:
    """The real service's responses, recorded once in `cassettes/<test>.json` beside the test's file."""
    real = PooledClient(clock=SystemClock(), egress=Egress(("127.0.0.0/8",)))
    made = Cassette(request.path.parent / "cassettes" / f"{request.node.name}.json", real)
    harness.http = made
    yield made
    await real.close()
    made.save()


class CasesOfFlow(pytest.File):
    """A case file."""

    def collect(self) -> Iterator[pytest.Item]:
        """Its cases."""
        try:
            flow, cases = load_cases(self.path, self.config.stash[_BENCH].registry, os.environ)
        except FlowInvalid as error:
            raise self.CollectError("\n".join(str(problem) for problem in error.problems)) from error
        for case in cases:
            yield CaseItem.from_parent(self, name=case.name, flow=flow, case=case)


class CaseFailed(Exception):
    """A case didn't come out as expected."""


class CaseItem(pytest.Item):
    """A case."""

    def __init__(self, *, flow: CompiledFlow, case: Case, **settings: Any) -> None:
        super().__init__(**settings)
        self._flow = flow
        self._case = case

    def runtest(self) -> None:
        """Run it. Raises CaseFailed."""
        result = self.config.stash[_BENCH].run(self._flow, self._case, self.path.parent)
        if not result.passed:
            raise CaseFailed("\n".join(result.differences))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The differences, without our traceback."""
        if isinstance(excinfo.value, CaseFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the case's file and its name, for pytest's reports."""
        return self.path, None, f"{self._flow.id}: {self.name}"
