"""`hookline test [FILES|DIRECTORIES]`."""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import click

from hookline.cli.command import Command, emit
from hookline.kernel.errors import ConfigError, FlowNotFound
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import Settings
from hookline.simulation.case_run import CaseResult

if TYPE_CHECKING:
    from hookline.discovery.registry import Registry
    from hookline.simulation.coverage import FlowCoverage
    from hookline.simulation.recordings.recorded_case import RecordedCase


@click.command(cls=Command, settings=("db", "flows"))
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--name",
    "-k",
    metavar="TEXT",
    help="Only cases with this text in their name; with --from-execution the name of the case.",
)
@click.option("--coverage", "-c", is_flag=True, help="Show the steps and branches that no case reaches.")
@click.option(
    "--fail-under", type=click.IntRange(0, 100), metavar="PERCENT", help="Fail if less of the flows is reached."
)
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the results to this file, as JUnit XML.",
)
@click.option("--from-execution", "execution_id", metavar="ID", help="Make a case from this execution.")
@click.option("--write", is_flag=True, help="Add the case to the file of the flow's cases instead of printing it.")
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

    Actions with effects get the results of the case's stubs, and waits end at once. Exit code 1 if a case fails.

    With --from-execution, a case is made from an execution instead; give at most one path, the flow's.
    """
    if execution_id is not None:
        if len(paths) > 1 or coverage or fail_under is not None or junit is not None:
            raise ConfigError("--from-execution can be combined with one flow, --name and --write only")
        _write_case(settings, execution_id, paths[0] if paths else None, name, write=write, as_json=as_json)
        return
    if write:
        raise ConfigError("--write needs --from-execution")
    from hookline.cli.author.test import junit as as_junit
    from hookline.simulation.case_files import ENDING, case_files
    from hookline.simulation.coverage import percent

    results, reached = run_cases(list(case_files(paths or (settings.flows_dir,))), name)
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
        return "\n".join([*lines, f"{passed} of {counted(len(results), 'case')} passed"])

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


def run_cases(files: Sequence[Path], name: str | None) -> "tuple[list[CaseResult], list[FlowCoverage]]":
    """Run the cases of files, or those with a text in their names. Raises FlowInvalid."""
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.simulation.case_files import flow_file_of, load_cases
    from hookline.simulation.case_run import open_runner
    from hookline.simulation.coverage import coverage

    registry = load_plugins()
    results: list[CaseResult] = []
    reached = []
    with open_runner(registry) as runner:
        for file in files:
            flow, cases = load_cases(file, registry, os.environ)
            chosen = [case for case in cases if name is None or name.lower() in case.name.lower()]
            ran = [runner.run(flow, case, file.parent) for case in chosen]
            results += ran
            if ran:
                reached.append(coverage(flow, flow_file_of(file), [result.steps for result in ran]))
    return results, reached


def junit(results: Iterable[CaseResult]) -> bytes:
    """JUnit XML with a suite for each flow and a test for each case; `time` is in seconds."""
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
    """Replace control characters, which XML doesn't allow."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _write_case(
    settings: Settings, execution_id: str, flow: Path | None, name: str | None, *, write: bool, as_json: bool
) -> None:
    """Print the case of an execution, or add it to the file of the flow's cases. `flow` is an id or a file."""
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.flows.authoring.formatter import format_value
    from hookline.simulation.case_files import add_case, check_free

    registry = load_plugins()
    recording, document = asyncio.run(_recorded(settings, execution_id))
    name = name or f"execution {execution_id}"
    file = _case_file(settings, registry, recording["flow_id"], flow)
    if write:
        check_free(file, name)
    made = _case_of(registry, recording, document, name, file.parent)
    for text in made.left_out:
        click.echo(f"left out: {text}", err=True)
    if not write:
        click.echo(format_value(made.case, 0))
        return
    try:
        add_case(file, made.case)
    except OSError as error:
        raise ConfigError(f"{file} can't be written: {error.strerror}") from error
    value = {"file": file, "name": name, "left_out": made.left_out}
    emit({**value, "file": str(file)}, as_json=as_json, text=lambda: f"{file}: {name}")


async def _recorded(settings: Settings, execution_id: str) -> tuple[Mapping[str, Any], Any]:
    """The execution, and the document of the version that it ran on."""
    from hookline.cli.client import connect
    from hookline.cli.operate.shortened_execution_ids import full_id

    async with connect(settings) as client:
        recording = await client.get("executions", await full_id(client, execution_id), "recording")
        if recording["flow_version"] is None:
            raise ConfigError(f"execution {execution_id!r} ended before it ran, so there is nothing to test")
        kept = await client.get("flows", recording["flow_id"], "versions", recording["flow_version"])
    return recording, kept["document"]


def _case_file(settings: Settings, registry: "Registry", flow_id: str, given: Path | None) -> Path:
    from hookline.catalog.folder_catalog import FolderCatalog
    from hookline.simulation.case_files import ENDING

    if given is not None and given.suffix == ".json":
        flow = given.with_name(given.name.removesuffix(ENDING).removesuffix(".json") + ".json")
        if flow.stem != flow_id or not flow.exists():
            raise ConfigError(f"the execution is one of flow {flow_id!r}, and {given} is not its file")
    elif given is not None and str(given) != flow_id:
        raise ConfigError(f"the execution is one of flow {flow_id!r}, and not of {str(given)!r}")
    else:
        catalog = FolderCatalog(settings.flows_dir, registry, environment=os.environ)
        catalog.refresh()
        entry = catalog.entries.get(flow_id)
        if entry is None or entry.file is None:
            raise FlowNotFound(f"there is no flow {flow_id!r} in {settings.flows_dir}; name the directory with --flows")
        flow = entry.file
    return flow.with_name(flow.stem + ENDING)


def _case_of(
    registry: "Registry", recording: Mapping[str, Any], document: Any, name: str, folder: Path
) -> "RecordedCase":
    from hookline.flows.compiler.compile import compile_flow
    from hookline.flows.documents.read import read
    from hookline.kernel.json import encode
    from hookline.simulation.case_run import open_runner
    from hookline.simulation.recordings.recorded_case import recorded_case

    flow = compile_flow(read(encode(document), recording["flow_id"]), registry, environment=os.environ)
    with open_runner(registry) as runner:
        return recorded_case(flow, recording, name, runner, registry, folder)
