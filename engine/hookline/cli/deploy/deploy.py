"""`hookline deploy [DIR]`."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from hookline.cli.client import connect
from hookline.cli.command import Command, can_ask, emit, failure
from hookline.kernel.errors import ConfigError, HooklineError
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import DATABASE, Settings

_DEFAULT: Final = Path("flows")


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """The options of the command."""

    message: str | None
    yes: bool
    dry_run: bool
    delete: bool
    check: bool
    force: bool
    as_json: bool


@click.command(cls=Command, settings=("flows", "db"))
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--message", "-m", metavar="TEXT", help="The reason for the change, which `deployments list` shows.")
@click.option("--yes", "-y", is_flag=True, help="Deploy without asking.")
@click.option("--dry-run", is_flag=True, help="Only show and check the differences.")
@click.option("--delete", is_flag=True, help="Delete the flows that the server has and DIR doesn't.")
@click.option(
    "--check/--no-check",
    default=True,
    help="Check the flows and run their cases on this machine first. The server checks them in any case.",
)
@click.option("--force", is_flag=True, help="Overwrite changes in files of the server that were never published.")
@click.option("--watch", is_flag=True, help="Deploy again whenever a file of DIR changes, without asking.")
def deploy(
    directory: Path | None,
    message: str | None,
    yes: bool,
    dry_run: bool,
    delete: bool,
    check: bool,
    force: bool,
    watch: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Deploy the flows of DIR, with their test cases, to the server; DIR is the flows directory by default.

    Shows the differences in meaning, checks the flows, runs their cases, and asks before it deploys. All flows are
    deployed at once, or none. If somebody else has deployed one of them since the comparison, nothing is changed.
    Waiting executions stay on their versions; the steps at which they would continue in the new ones are listed.
    """
    folder = directory or (_DEFAULT if settings.flows == DATABASE else settings.flows_dir)
    options = DeployOptions(message, yes, dry_run, delete, check, force, as_json)
    if watch:
        from hookline.cli.deploy.watch import deploy_each_change

        deploy_each_change(folder, lambda first: _deploy_or_show_error(settings, folder, options, first=first))
    else:
        _deploy(settings, folder, options)


def _deploy_or_show_error(settings: Settings, folder: Path, options: DeployOptions, *, first: bool) -> None:
    """Deploy, and show an error without ending the command. Only the first deployment asks."""
    try:
        _deploy(settings, folder, options if first else replace(options, yes=True))
    except HooklineError as error:
        if first and isinstance(error, ConfigError):
            raise
        failure(error, as_json=options.as_json).show()


def _deploy(settings: Settings, folder: Path, options: DeployOptions) -> None:
    from hookline.cli.deploy import deploy_steps, report
    from hookline.cli.deploy.folder import read_folder

    flows = read_folder(folder)
    checked = deploy_steps.check_here(settings, folder, flows) if options.check else ((), 0)

    async def prepare() -> deploy_steps.Prepared:
        async with connect(settings, missing="empty") as client:
            return await deploy_steps.prepare(
                client, flows, delete=options.delete, force=options.force, message=options.message, checked=checked
            )

    async def apply() -> Mapping[str, Any]:
        async with connect(settings, missing="created") as client:
            return await deploy_steps.deploy_changes(client, prepared, flows)

    prepared = asyncio.run(prepare())
    value: dict[str, Any] = {
        "server": prepared.server,
        "flows": prepared.comparison.changes,
        "only_on_server": prepared.comparison.only_on_server,
        "warnings": prepared.warnings,
        "plans": prepared.plans,
        "deployment": None,
        "pending": [],
    }
    if not options.as_json:
        click.echo(report.differences_text(prepared, folder))
    if not prepared.comparison.changed or options.dry_run:
        end = "nothing was deployed" if prepared.comparison.changed else "nothing to deploy"
        emit(value, as_json=options.as_json, text=lambda: end)
        return
    _confirm(prepared, options)
    done = asyncio.run(apply())
    value |= {"deployment": done["deployment"], "plans": done["plans"], "pending": done["pending"]}
    emit(value, as_json=options.as_json, text=lambda: report.deployed_text(done, done["plans"]))


def _confirm(prepared: Any, options: DeployOptions) -> None:
    """Ask whether to deploy. Raises ConfigError if nobody can be asked, and Abort if the answer is no."""
    if options.yes:
        return
    if options.as_json or not can_ask():
        raise ConfigError("there is no terminal to ask at, so nothing was deployed: add --yes to deploy, or --dry-run")
    count = counted(len(prepared.comparison.changed), "flow")
    click.confirm(f"Deploy {count} to {prepared.server or 'this machine'}?", abort=True, err=True)
