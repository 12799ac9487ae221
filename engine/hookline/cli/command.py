"""What all commands share: `--json`, options that are settings, and how an error is shown.

Exit codes: 0 well, 1 what was asked for failed, 2 wrong usage (wrong settings too).
"""

import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import click

from hookline.config import Settings, load
from hookline.kernel.errors import CannotSign, ConfigError, HooklineError, Problem
from hookline.kernel.json import encode


class Failed(click.ClickException):
    """An error of ours, as text of one line for each problem, or as JSON; never a traceback."""

    def __init__(self, error: HooklineError, *, as_json: bool) -> None:
        super().__init__(error.message)
        self.code = getattr(error, "error_code", error.code)
        self.problems: Sequence[Problem] = getattr(error, "problems", ())
        self.as_json = as_json

    def show(self, file: IO[Any] | None = None) -> None:
        target = file or sys.stderr
        if self.as_json:
            value = {"code": self.code, "message": self.message, "problems": self.problems}
            click.echo(encode({"error": value}), file=target)
        elif self.problems:
            for problem in self.problems:
                click.echo(problem_line(problem), file=target)
        else:
            click.echo(f"hookline: {self.message}", file=target)


class WronglyUsed(Failed):
    """An error that another setting or option puts right."""

    exit_code = 2


class Command(click.Command):
    """A command whose function gets `as_json` and, where it asks for some, `settings`.

    `settings` names the settings that are options of this command; `needs_settings=False` asks for none at all.
    """

    def __init__(self, *args: Any, settings: Sequence[str] = (), needs_settings: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = tuple(settings)
        self._needs_settings = needs_settings
        self.params += [_option(name) for name in settings]
        self.params.append(click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            if self._needs_settings:
                options = {name: ctx.params.pop(name) for name in self._settings}
                config = ctx.find_root().params.get("config")
                ctx.params["settings"] = load(options, Path(config) if config else None)
            return super().invoke(ctx)
        except HooklineError as error:
            kind = WronglyUsed if isinstance(error, ConfigError | CannotSign) else Failed
            raise kind(error, as_json=ctx.params["as_json"]) from error


class CommandGroup(click.Group):
    """Commands under one name."""

    command_class = Command


def _option(name: str) -> click.Option:
    field = Settings.model_fields[name]
    choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is typing.Literal else ()
    # Values stay text: the settings judge them, so that an option's error reads like a file's.
    kind = click.Choice([str(choice) for choice in choices]) if choices else click.STRING
    metavar = None if choices else {"db": "URL", "queue": "URL", "flows": "DIR"}.get(name, name.upper())
    help_text = (field.description or "").replace("`", "")
    return click.Option([f"--{name.replace('_', '-')}", name], type=kind, metavar=metavar, help=help_text)


def problem_line(problem: Problem) -> str:
    """`flows/a.json:3: /steps/0/use: there is no action x (did you mean y?)`."""
    place = ":".join(str(part) for part in (problem.file, problem.line) if part is not None)
    text = ": ".join(part for part in (place, problem.pointer, problem.message) if part)
    if problem.severity != "error":
        text = f"{problem.severity}: {text}"
    return f"{text} ({problem.remedy})" if problem.remedy else text


def emit(value: Any, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print a result: `value` as JSON, or else a text for people."""
    click.echo(encode(value) if as_json else text())


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned text."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    # Piped output is for other programs: its lines aren't broken at 80 characters.
    console = Console(width=None if sys.stdout.isatty() else 10_000)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
