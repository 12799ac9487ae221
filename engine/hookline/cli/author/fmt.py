"""`hookline fmt [PATHS]`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hookline.cli.command import Command, emit, problem_line
from hookline.kernel.errors import ConfigError, FlowInvalid, Problem
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from hookline.discovery.registry import Registry


@click.command(cls=Command, settings=("flows",))
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--check", "check_only", is_flag=True, help="Change nothing; exit code 1 if a file would change.")
@click.option(
    "--upgrade", is_flag=True, help="Rewrite settings of older versions, such as `acme.create_order@1`, to the newest."
)
@click.pass_context
def fmt(
    ctx: click.Context, paths: tuple[Path, ...], check_only: bool, upgrade: bool, as_json: bool, settings: Settings
) -> None:
    """Write flows in their canonical form, by default those of the flows directory.

    The canonical form fixes the order of the flow language's keys, and the layout. The version of a flow stays the
    same, unless `--upgrade` rewrites some of its settings.
    """
    registry = None
    if upgrade:
        from hookline.discovery.plugin_loader import load_plugins

        registry = load_plugins()
    changed: list[str] = []
    problems: list[Problem] = []
    files = list(_files(paths or (settings.flows_dir,)))
    for file in files:
        try:
            before, after = canonical_text(file, registry, problems)
        except FlowInvalid as error:
            problems += error.problems
            continue
        except OSError as error:
            raise ConfigError(f"{file} can't be read: {error.strerror}") from None
        if before != after.encode():
            changed.append(str(file))
            if not check_only:
                file.write_text(after, encoding="utf-8", newline="\n")
    value: dict[str, Any] = {"files": len(files), "changed": changed, "problems": problems}

    def text() -> str:
        did = "would change" if check_only else "changed"
        lines = [*(problem_line(problem) for problem in problems), *changed]
        return "\n".join([*lines, f"{counted(len(files), 'flow')}: {len(changed)} {did}"])

    emit(value, as_json=as_json, text=text)
    if problems or (check_only and changed):
        ctx.exit(1)


def canonical_text(
    file: Path, registry: "Registry | None" = None, problems: list[Problem] | None = None
) -> tuple[bytes, str]:
    """Return the content of a flow's file, and its canonical form: with the newest settings if a registry is given.

    Settings that can't be rewritten are added to `problems`. Raises FlowInvalid if there is no canonical form, and
    OSError.
    """
    from hookline.flows.authoring.formatter import format_flow
    from hookline.flows.documents.read import read

    data = file.read_bytes()
    document = read(data, str(file))
    if document.problems:
        # Only the last of repeated keys would be left.
        raise FlowInvalid(document.problems)
    if not isinstance(document.value, dict):
        raise FlowInvalid([Problem("a flow is an object", code="wrong_type", remedy="write { … }", file=str(file))])
    value = document.value
    if registry is not None:
        from hookline.flows.authoring.settings_upgrade import upgrade_flow

        value, found = upgrade_flow(value, registry)
        if problems is not None:
            problems += document.place(found)
    return data, format_flow(value)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    from hookline.catalog.flow_folder import scan

    for path in paths:
        if path.is_dir():
            yield from scan(path)
        elif path.exists():
            yield path
        else:
            raise ConfigError(f"there is no file or directory {path}")
