"""`hookline check [FILES|DIRECTORIES]`."""

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from hookline.cli.client import connect, is_new
from hookline.cli.client.remote_choice import remote_of
from hookline.cli.command import Command, NotFound, emit, problem_line
from hookline.flows.check.step_scopes import StepScope
from hookline.flows.elements.outside_references import KnownFlow
from hookline.flows.types.sample_shapes import NO_SAMPLES, Samples, read_samples
from hookline.kernel.errors import ConfigError, FlowInvalid, FlowNotFound, HooklineError, Problem
from hookline.kernel.json import decode
from hookline.kernel.suggestions_and_counts import counted, did_you_mean
from hookline.secrets.credential_reach import KnownCredential
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from hookline.discovery.registry import Registry


@click.command(cls=Command, settings=("flows", "db"))
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--credentials/--no-credentials",
    "with_credentials",
    default=True,
    help="Check that the credentials exist that flows name.",
)
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option(
    "--explain",
    "explaining",
    metavar="FLOW[:STEP]",
    help="Print the types of the values in scope at each step of a flow, or at one step, instead.",
)
@click.pass_context
def check(
    ctx: click.Context,
    paths: tuple[Path, ...],
    with_credentials: bool,
    strict: bool,
    explaining: str | None,
    as_json: bool,
    settings: Settings,
) -> None:
    """Find errors in flows, by default in those of the flows directory.

    Every problem is listed with its file, line, JSON pointer and remedy. Exit code 1 if there are errors. Missing
    credentials are errors if there is a database, and warnings otherwise.
    """
    if explaining is not None:
        if paths:
            raise click.UsageError("--explain names the flow itself: give no files")
        steps = explained(explaining, settings)
        emit({"steps": steps}, as_json=as_json, text=lambda: explained_text(steps))
        return

    from hookline.discovery.plugin_loader import load_plugins

    registry = load_plugins()
    credentials, several_hosts = asyncio.run(_of_server(settings)) if with_credentials else (None, False)
    # Before anything is set up, missing credentials are no error of the flows.
    fresh = is_new(settings)
    files = list(files_of(paths or (settings.flows_dir,)))
    problems = check_files(settings, files, registry, credentials, several_hosts=several_hosts)
    if fresh:
        problems = [_warned(problem) for problem in problems]
    failed = any(problem.severity == "error" or (strict and problem.severity == "warning") for problem in problems)

    def text() -> str:
        lines = [problem_line(problem) for problem in problems]
        return "\n".join([*lines, _summary(len(files), problems)])

    emit({"files": len(files), "problems": problems}, as_json=as_json, text=text)
    if failed:
        ctx.exit(1)


def check_files(
    settings: Settings,
    files: Sequence[tuple[Path, Mapping[str, KnownFlow] | None]],
    registry: "Registry",
    credentials: Mapping[str, KnownCredential] | None,
    *,
    several_hosts: bool = False,
) -> list[Problem]:
    """The problems in files, each given with the flows that it may call, and those between the files of a folder.

    `credentials`: by name; None if they aren't known. `several_hosts`: nodes run on several hosts.
    """
    from hookline.catalog.folder_catalog import FolderCatalog
    from hookline.cli.options_from_settings import unverified_flows

    problems = [
        problem
        for file, among in files
        for problem in _in_file(settings, file, among, registry, credentials, several_hosts)
    ]
    unverified = None if remote_of(settings) is not None else unverified_flows(settings)
    # Problems between files: names that don't fit, ids that two files have.
    for folder in sorted({file.parent for file, _ in files}):
        catalog = FolderCatalog(folder, registry, environment=os.environ, unverified=unverified)
        catalog.refresh()
        known = set(problems)
        shown = {str(file) for file, _ in files}
        problems += [
            problem
            for entry in catalog.entries.values()
            for problem in entry.problems
            if problem not in known and problem.file in shown
        ]
    return [*problems, *_not_canonical(file for file, _ in files)]


def _in_file(
    settings: Settings,
    file: Path,
    among: Mapping[str, KnownFlow] | None,
    registry: "Registry",
    credentials: Mapping[str, KnownCredential] | None,
    several_hosts: bool,
) -> Sequence[Problem]:
    from hookline.catalog.folder_catalog import unreadable_file
    from hookline.cli.options_from_settings import unverified_flows
    from hookline.flows.check.check_flow import check_flow

    # The settings of a remote server aren't known here; its own check reports what they lack.
    elsewhere = remote_of(settings) is not None
    try:
        data = file.read_bytes()
    except OSError as error:
        # One unreadable file must not hide the problems of the others.
        return [unreadable_file(file, error)]
    return check_flow(
        data,
        registry,
        credentials,
        file=str(file),
        flows=among,
        environment=os.environ,
        unverified=None if elsewhere else unverified_flows(settings),
        public_url=elsewhere or settings.public_url is not None,
        several_hosts=several_hosts,
        samples=samples_beside(file),
    ).problems


def files_of(paths: Sequence[Path]) -> Iterator[tuple[Path, Mapping[str, KnownFlow] | None]]:
    """Yield the flow files, each with the flows beside it; None if they aren't known."""
    from hookline.catalog.flow_folder import scan

    for path in paths:
        if path.is_dir():
            found = scan(path)
            # A flow is in the file of its name.
            flows = {file.stem: _known(file) for file in found}
            for file in found:
                yield file, flows
        elif path.exists():
            yield path, None
        else:
            raise ConfigError(f"there is no file or directory {path}")


def _known(file: Path) -> KnownFlow:
    try:
        return KnownFlow.of(file.read_bytes())
    except OSError:
        return KnownFlow()  # the checker reports it


def _not_canonical(files: Iterable[Path]) -> Iterator[Problem]:
    from hookline.cli.author.fmt import canonical_text

    for file in files:
        try:
            before, after = canonical_text(file)
        except (FlowInvalid, OSError):
            continue  # the checker reports these
        if before != after.encode():
            message, remedy = "it isn't in canonical form", f"run hookline fmt {file}"
            yield Problem(message, code="not_canonical", remedy=remedy, severity="note", file=str(file))


def _warned(problem: Problem) -> Problem:
    return replace(problem, severity="warning") if problem.code == "credential_missing" else problem


async def _of_server(settings: Settings) -> tuple[Mapping[str, KnownCredential] | None, bool]:
    """Return the credentials, and true if nodes run on several hosts.

    There are no credentials without a database. They are None if the database can't be read now.
    """
    if is_new(settings):
        return {}, False
    try:
        async with connect(settings) as client:
            listed = (await client.get("credentials"))["items"]
            credentials = {one["name"]: msgspec.convert(one, KnownCredential) for one in listed}
            hosts = {one.get("host") for one in (await client.get("nodes"))["items"] if one["state"] != "gone"}
            return credentials, len(hosts) > 1
    except ConfigError:
        raise
    except HooklineError as error:
        click.echo(f"hookline: credentials aren't checked: {error.message}", err=True)
        return None, False


def _summary(files: int, problems: Sequence[Problem]) -> str:
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = sum(problem.severity == "warning" for problem in problems)
    notes = len(problems) - errors - warnings
    found = f"{counted(files, 'flow')}: {counted(errors, 'error')}, {counted(warnings, 'warning')}"
    return f"{found}, {counted(notes, 'note')}" if notes else found


def samples_beside(file: Path) -> Samples:
    """Return the samples in the cases of a flow's file; none if there are no cases that can be read."""
    try:
        return read_samples(decode(file.with_suffix(".test.json").read_bytes()))
    except (OSError, ValueError, RecursionError):
        # `hookline test` reports the problems of cases.
        return NO_SAMPLES


def explained(wanted: str, settings: Settings) -> Sequence[StepScope]:
    """Return the steps of a flow, named by its file or id, or the one step named after a colon.

    Raises FlowNotFound, NotFound if it has no such step, and FlowInvalid if the flow has errors.
    """
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.flows.check.step_scopes import step_scopes
    from hookline.flows.compiler.compile import compile_flow
    from hookline.flows.documents.read import read

    name, step = (wanted, "") if Path(wanted).is_file() else _parts(wanted)
    file = Path(name) if Path(name).is_file() else settings.flows_dir / f"{name}.json"
    if not file.is_file():
        near = did_you_mean(name, [path.stem for path in settings.flows_dir.glob("*.json")])
        raise FlowNotFound(f"there is no flow {name!r} in {settings.flows_dir}/{f'; {near}' if near else ''}")
    flow = compile_flow(read(file.read_bytes(), str(file)), load_plugins(), environment=os.environ)
    steps = list(step_scopes(flow, samples_beside(file)))
    if not step:
        return steps
    found = [one for one in steps if one.step == step]
    if not found:
        ids = [one.step for one in steps]
        raise NotFound(f"flow {flow.id!r} has no step {step!r}; {did_you_mean(step, ids, 'it has ' + ', '.join(ids))}")
    return found


def _parts(wanted: str) -> tuple[str, str]:
    name, _, step = wanted.rpartition(":")
    return (name, step) if name else (wanted, "")


def explained_text(steps: Sequence[StepScope]) -> str:
    """The steps as text."""
    lines: list[str] = []
    for one in steps:
        lines.append(f"{one.step} ({one.pointer})")
        lines += [f"  {path}: {shape}" for path, shape in one.scope.items()]
        lines.append("  → no step follows" if one.body is None else f"  → body: {one.body}")
    return "\n".join(lines)
