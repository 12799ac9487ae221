"""`hookline`: the commands by name. None is imported before it is called, so that `--help` answers at once."""

import importlib
from typing import Final

import click

from hookline import __version__

#: From each command to its module and its line in `--help`; the module's object has the command's name, - as _.
COMMANDS: Final = {
    "demo": ("hookline.cli.host.demo", "See it work: a PayPal event into an accounting database."),
    "new": ("hookline.cli.author.new", "Begin a plugin or a flow."),
    "serve": ("hookline.cli.host.serve", "Accept webhooks and run flows."),
    "check": ("hookline.cli.author.check", "Find what is wrong in flows."),
    "fmt": ("hookline.cli.author.fmt", "Write flows in their canonical form."),
    "diff": ("hookline.cli.author.diff", "How flows differ, by what they mean."),
    "run": ("hookline.cli.author.run", "Run a flow once, on an input."),
    "start": ("hookline.cli.operate.start", "Start a flow on the running server."),
    "test": ("hookline.cli.author.test", "Run the cases of flows."),
    "backtest": ("hookline.cli.author.backtest", "Try a changed flow on messages that have come."),
    "send": ("hookline.cli.author.send", "Send a flow a message, signed as its provider would."),
    "components": ("hookline.cli.author.components", "What steps and triggers can use, and how."),
    "plugins": ("hookline.cli.host.plugins", "Which plugins are installed, and whether they work."),
    "schema": ("hookline.cli.author.schema", "JSON Schema of flows, for editors."),
    "credentials": ("hookline.cli.operate.credentials", "The secrets that flows use."),
    "rejected": ("hookline.cli.operate.rejected", "Which requests were rejected, and why."),
    "flows": ("hookline.cli.operate.flows", "Pause, stop and roll back flows; their versions."),
    "storage": ("hookline.cli.operate.storage", "How much room everything takes, and what goes when."),
    "state": ("hookline.cli.operate.state", "What flows keep from one execution to the next."),
    "executions": ("hookline.cli.operate.executions", "What has run, and how it went."),
    "dead-letters": ("hookline.cli.operate.dead_letters", "What failed and wasn't taken care of, grouped by cause."),
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
    help="The file with the settings; hookline.toml in the current directory by default.",
)
def main(config: str | None) -> None:
    """A plugin-based workflow engine for webhooks."""


if __name__ == "__main__":
    main()
