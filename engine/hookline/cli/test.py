"""`hookline test [FILES|DIRECTORIES]`."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hookline.cli.command import Command, emit
from hookline.config import Settings
from hookline.errors import ConfigError, FlowInvalid, Problem

if TYPE_CHECKING:
    from hookline.testing.case_run import CaseResult

_ENDING: Final = ".test.json"


@click.command(cls=Command, settings=("flows",))
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.pass_context
def test(ctx: click.Context, paths: tuple[Path, ...], as_json: bool, settings: Settings) -> None:
    """Run the cases of flows (`<id>.test.json` beside `<id>.json`), by default all in the flows directory.

    Actions that have effects are answered by the case's stubs, and waits pass at once. Exit code 1 where a case fails.
    """
    results = _run(list(_case_files(paths or (settings.flows,))))
    if not results:
        raise ConfigError(f"there are no cases: no {_ENDING} file beside a flow")
    passed = sum(result.passed for result in results)

    def text() -> str:
        lines = []
        for result in results:
            lines.append(f"{'passed' if result.passed else 'FAILED'}  {result.flow_id}: {result.name}")
            lines += [f"        {difference}" for difference in result.differences]
            if not result.passed and result.error is not None:
                lines.append(f"        it ended with {result.error.code}: {result.error.message}")
        return "\n".join([*lines, f"{passed} of {len(results)} cases passed"])

    value = [
        {
            "flow_id": result.flow_id,
            "name": result.name,
            "passed": result.passed,
            "outcome": result.outcome,
            "error": result.error,
            "differences": result.differences,
        }
        for result in results
    ]
    emit(value, as_json=as_json, text=text)
    if passed < len(results):
        ctx.exit(1)


def _case_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.glob(f"*{_ENDING}"))
        elif not path.exists():
            raise ConfigError(f"there is no file or directory {path}")
        elif path.name.endswith(_ENDING):
            yield path
        else:
            cases = path.with_name(path.name.removesuffix(".json") + _ENDING)
            if not cases.exists():
                raise ConfigError(f"{path} has no cases: there is no {cases}")
            yield cases


def _run(files: Sequence[Path]) -> list["CaseResult"]:
    from hookline.discovery import discover
    from hookline.flows.compile import compile_flow
    from hookline.flows.read import read
    from hookline.runtime.system_clock import SystemClock
    from hookline.testing.case_run import CaseRunner
    from hookline.testing.cases import check_names, read_cases

    registry = discover()
    factory = registry.blob_stores.get("file")
    if factory is None:
        raise ConfigError("no plugin gives a blob store for file: URLs; `hookline plugins` shows which work")
    results = []
    with tempfile.TemporaryDirectory(prefix="hookline-test-") as folder:
        blobs = factory(f"file://{folder}", clock=SystemClock())
        with CaseRunner(registry, blobs) as runner:
            for file in files:
                path = file.with_name(file.name.removesuffix(_ENDING) + ".json")
                try:
                    # One read of a small file, before anything runs beside it.
                    data = path.read_bytes()
                except OSError as error:
                    raise FlowInvalid([Problem(f"its flow can't be read: {error}", file=str(file))]) from error
                flow = compile_flow(read(data, str(path)), registry, environment=os.environ)
                cases = read_cases(file, exact=flow.exact)
                if wrong := check_names(cases, flow, file):
                    raise FlowInvalid(wrong)
                results += [runner.run(flow, case, file.parent) for case in cases.cases]
    return results
