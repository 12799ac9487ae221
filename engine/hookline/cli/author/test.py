"""`hookline test [FILES|DIRECTORIES]`."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import click

from hookline.cli.command import Command, emit
from hookline.config import Settings
from hookline.kernel.errors import ConfigError
from hookline.simulation.case_run import CaseResult

if TYPE_CHECKING:
    from hookline.simulation.case_run import CaseResult
    from hookline.simulation.coverage import FlowCoverage


@click.command(cls=Command, settings=("db", "flows"))
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--name", "-k", metavar="TEXT", help="Only cases with this in their name; or that of the new one.")
@click.option("--coverage", "-c", is_flag=True, help="Show which steps and branches no case has come to.")
@click.option(
    "--fail-under", type=click.IntRange(0, 100), metavar="PERCENT", help="Fail where less of the flows is reached."
)
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the results to this file, too.")
@click.option("--from-execution", "execution_id", metavar="ID", help="Make a case of what this execution did.")
@click.option("--write", is_flag=True, help="Write it to the file of the flow's cases; otherwise it is printed.")
@click.pass_context
def test(
    ctx: click.Context,
    paths: tuple[Path, ...],
    name: str | None,
    coverage: bool,
    fail_under: int | None,
    junit: Path | None,
    execution_id: str | None,
    write: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Run the cases of flows (`<id>.test.json` beside `<id>.json`), by default all in the flows directory.

    Actions that have effects are answered by the case's stubs, and waits pass at once. Exit code 1 where a case fails.

    With --from-execution nothing is run but the case that it makes; at most one path is given then, the flow's.
    """
    if execution_id is not None:
        from hookline.cli.author.recorded_case import write_case

        if len(paths) > 1 or coverage or fail_under is not None or junit is not None:
            raise ConfigError("--from-execution takes no more than one flow, --name and --write")
        write_case(settings, execution_id, paths[0] if paths else None, name, write=write, as_json=as_json)
        return
    if write:
        raise ConfigError("--write says where the case of --from-execution goes: name an execution")
    from hookline.cli.author.test import junit as as_junit
    from hookline.simulation.case_files import ENDING, case_files
    from hookline.simulation.coverage import percent

    results, reached = _run(list(case_files(paths or (settings.flows,))), name)
    if not results:
        besides = f" with {name!r} in its name" if name else f": no {ENDING} file beside a flow"
        raise ConfigError(f"there is no case{besides}")
    if junit is not None:
        junit.write_bytes(as_junit(results))
    passed = sum(result.passed for result in results)
    share = percent(reached)
    shown = reached if coverage or fail_under is not None else None

    def text() -> str:
        lines = []
        for result in results:
            lines.append(f"{'passed' if result.passed else 'FAILED'}  {result.flow_id}: {result.name}")
            lines += [f"        {difference}" for difference in result.differences]
            if not result.passed and result.error is not None:
                lines.append(f"        it ended with {result.error.code}: {result.error.message}")
        for flow in shown or ():
            lines.append(f"{flow.flow_id}: {flow.reached} of {flow.total} steps and branches reached")
            lines += [f"        {flow.file}:{missed.line}: {missed.what} not reached" for missed in flow.missed]
        if shown is not None:
            short = fail_under is not None and share < fail_under
            lines.append(f"{share} % reached" + (f", and it should be {fail_under} %" if short else ""))
        return "\n".join([*lines, f"{passed} of {len(results)} cases passed"])

    cases = [
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
    value = {"cases": cases, "coverage": None if shown is None else {"percent": share, "flows": shown}}
    emit(value, as_json=as_json, text=text)
    if passed < len(results) or (fail_under is not None and share < fail_under):
        ctx.exit(1)


def _run(files: Sequence[Path], name: str | None) -> "tuple[list[CaseResult], list[FlowCoverage]]":
    from hookline.discovery.loader import load_plugins
    from hookline.kernel.time import SystemClock
    from hookline.simulation.case_files import flow_of, load
    from hookline.simulation.case_run import CaseRunner
    from hookline.simulation.coverage import coverage

    registry = load_plugins()
    factory = registry.blob_stores.get("file")
    if factory is None:
        raise ConfigError("no plugin gives a blob store for file: URLs; `hookline plugins` shows which work")
    results: list[CaseResult] = []
    reached = []
    with tempfile.TemporaryDirectory(prefix="hookline-test-") as folder:
        blobs = factory(f"file://{folder}", clock=SystemClock())
        with CaseRunner(registry, blobs) as runner:
            for file in files:
                flow, cases = load(file, registry, os.environ)
                chosen = [case for case in cases if name is None or name.lower() in case.name.lower()]
                ran = [runner.run(flow, case, file.parent) for case in chosen]
                results += ran
                if ran:
                    reached.append(coverage(flow, flow_of(file), [result.steps for result in ran]))
    return results, reached


def junit(results: Iterable[CaseResult]) -> bytes:
    """A suite for each flow, with a test for each case; `time` is what running it took, in seconds."""
    root = Element("testsuites", name="hookline")
    for flow_id, group in groupby(results, key=lambda result: result.flow_id):
        cases = list(group)
        failed = sum(not case.passed for case in cases)
        suite = SubElement(
            root,
            "testsuite",
            name=flow_id,
            tests=str(len(cases)),
            failures=str(failed),
            time=f"{sum(case.ran for case in cases):.3f}",
        )
        for case in cases:
            test = SubElement(suite, "testcase", classname=flow_id, name=case.name, time=f"{case.ran:.3f}")
            if not case.passed:
                failure = SubElement(test, "failure", message=_printable(case.differences[0]))
                failure.text = _printable("\n".join(case.differences))
    indent(root)
    text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _printable(text: str) -> str:
    """XML has no control characters."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text
    )
