"""`hookline`: the commands by name. A command is imported when it is called, so that `--help` is quick."""

import importlib
from typing import Final

import click

from hookline import __version__
from hookline.cli.remote_option import remote_option

#: The module of each command and its line in `--help`; the object in the module has the command's name, with _ for -.
COMMANDS: Final = {
    "demo": ("hookline.cli.host.demo", "Send a signed PayPal event to a server and see it booked."),
    "new": ("hookline.cli.author.new", "Create a plugin or a flow."),
    "login": ("hookline.cli.operate.login", "Store a token for a remote server as a profile."),
    "logout": ("hookline.cli.operate.login", "Remove the token of a remote server from this machine."),
    "serve": ("hookline.cli.host.serve", "Accept webhooks and run flows."),
    "open": ("hookline.cli.operate.login", "Open the console of the running server, signed in."),
    "check": ("hookline.cli.author.check", "Find errors in flows."),
    "fmt": ("hookline.cli.author.fmt", "Write flows in their canonical form."),
    "deploy": ("hookline.cli.deploy.deploy", "Deploy a folder of flows to a server."),
    "deployments": ("hookline.cli.deploy.deployments", "List, show and roll back deployments."),
    "graph": ("hookline.cli.author.graph", "Draw a flow."),
    "diff": ("hookline.cli.author.diff", "Show the differences between flows."),
    "run": ("hookline.cli.author.run", "Run a flow once, on an input."),
    "start": ("hookline.cli.operate.start", "Start a flow on the running server."),
    "test": ("hookline.cli.author.test", "Run the cases of flows."),
    "backtest": ("hookline.cli.author.backtest", "Try a changed flow on recorded messages."),
    "send": ("hookline.cli.author.send", "Send a flow a message, signed as its provider would."),
    "drafts": ("hookline.cli.author.drafts", "Manage the drafts of flows."),
    "captures": ("hookline.cli.author.captures", "Capture the requests to the URL of a flow."),
    "components": ("hookline.cli.author.components", "List the actions, triggers and blocks for flows."),
    "plugins": ("hookline.cli.host.plugins", "List, examine and describe installed plugins."),
    "schema": ("hookline.cli.author.schema", "Print the JSON Schema of flows, for editors."),
    "credentials": ("hookline.cli.operate.credentials", "Manage the credentials that flows use."),
    "tokens": ("hookline.cli.operate.tokens", "Manage the tokens of the admin API."),
    "rejected": ("hookline.cli.operate.rejected", "List rejected requests and the reasons."),
    "audit": ("hookline.cli.operate.audit", "List who changed what."),
    "flows": ("hookline.cli.deploy.flows", "Pause, stop and roll back flows; list their versions."),
    "nodes": ("hookline.cli.host.nodes", "List the processes that serve the database."),
    "storage": ("hookline.cli.operate.storage", "Show the disk space in use and what is removed next."),
    "db": ("hookline.cli.host.db", "Examine, upgrade and copy the database."),
    "state": ("hookline.cli.operate.state", "Manage the values that flows keep between executions."),
    "attention": ("hookline.cli.host.attention", "List everything that needs somebody's attention."),
    "executions": ("hookline.cli.operate.executions", "List, show and repair executions."),
    "dead-letters": ("hookline.cli.operate.dead_letters", "Failed executions that need attention, grouped by cause."),
}


class Commands(click.Group):
    """The commands of `COMMANDS`, imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hookline")
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    envvar="HOOKLINE_CONFIG",
    help="The file with the server settings; by default hookline.toml in the current directory.",
)
def main(config: str | None) -> None:
    """A plugin-based workflow engine for webhooks."""


main.params.append(remote_option())


if __name__ == "__main__":
    main()
