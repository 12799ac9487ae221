"""The parts that all commands share: `--json`, `--remote`, options for server settings, pages of lists, and errors.

Exit codes: 0 for success, 1 for a failure and for the name of something that doesn't exist, 2 for wrong usage, wrong
settings included.
"""

import re
import sys
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import click

from hookline.cli.client.remote_choice import Remote, find_remote, settings_for
from hookline.cli.printable_text import harmless, json_line
from hookline.cli.remote_option import remote_given, remote_option
from hookline.cli.table import table
from hookline.kernel.errors import CannotSign, ConfigError, HooklineError, Problem, StoreTooNew
from hookline.server_settings import Settings, load

RELOAD: Final = "hookline.reload"
"""The key in a context's `meta` of the function that loads the command's settings again."""
OPTIONS: Final = "hookline.options"
"""The key in a context's `meta` of the options for settings, by the names of the settings; None for those not given."""
_LOCAL: Final = ("db", "blobs", "retention", "disk_budget")
"""Options that concern the database of this machine."""
_F = TypeVar("_F", bound=Callable[..., Any])


class NotFound(HooklineError):
    """There is nothing of that name."""

    code = "not_found"


class Failed(click.ClickException):
    """An error of Hookline: one line of text for each problem, or JSON; never a traceback."""

    def __init__(self, error: HooklineError, *, as_json: bool) -> None:
        super().__init__(error.message)
        self.code = getattr(error, "error_code", error.code)
        self.problems: Sequence[Problem] = getattr(error, "problems", ())
        self.as_json = as_json

    def show(self, file: IO[Any] | None = None) -> None:
        target = file or sys.stderr
        if self.as_json:
            value = {"code": self.code, "message": self.message, "problems": self.problems}
            click.echo(json_line({"error": value}), file=target)
        elif self.problems:
            for problem in self.problems:
                click.echo(harmless(problem_line(problem)), file=target)
        else:
            click.echo(harmless(f"hookline: {self.message}"), file=target)


class WronglyUsed(Failed):
    """An error that is corrected by another setting or option."""

    exit_code = 2


class Command(click.Command):
    """A command whose function is called with `as_json` and `settings`.

    `settings` names the server settings that are options of this command. With `needs_settings=False` no settings are
    loaded or passed. `remote`: the command can call a remote server; by default, if it has the setting `db`.
    """

    def __init__(
        self,
        *args: Any,
        settings: Sequence[str] = (),
        needs_settings: bool = True,
        remote: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._settings = tuple(settings)
        self._needs_settings = needs_settings
        self.remote = "db" in settings if remote is None else remote
        self.params += [_option(name) for name in settings]
        if self.remote:
            self.params.append(remote_option())
        self.params.append(click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            remote = self._remote(ctx)
            if self._needs_settings:
                options = {name: ctx.params.pop(name) for name in self._settings}
                ctx.meta[OPTIONS] = options
                config = ctx.find_root().params.get("config")
                ctx.meta[RELOAD] = partial(load, options, Path(config) if config else None)
                ctx.params["settings"] = settings_for(ctx.meta[RELOAD](), remote)
            return super().invoke(ctx)
        except HooklineError as error:
            raise failure(error, as_json=ctx.params["as_json"]) from error

    def _remote(self, ctx: click.Context) -> Remote | None:
        """The remote server to call. Raises UsageError and ConfigError."""
        given = remote_given(ctx)
        if not self.remote:
            if given:
                raise click.UsageError(f"`{ctx.command_path}` works only on this machine: leave --remote out")
            return None
        found = find_remote(given)
        local = [name for name in _LOCAL if ctx.params.get(name) is not None]
        if found is not None and local:
            raise click.UsageError(
                f"--{local[0].replace('_', '-')} is for this machine, and the command is for {found.url} (--remote or "
                "HOOKLINE_REMOTE): leave one of them out"
            )
        return found


class CommandGroup(click.Group):
    """Commands under one name. Its help has the whole first sentence of each.

    `remote`: some of them can call a remote server.
    """

    command_class = Command

    def __init__(self, *args: Any, remote: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if remote:
            self.params.append(remote_option())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        lines = [(name, _sentence(command.help or "")) for name, command in found if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(lines)


def _sentence(text: str) -> str:
    """The first sentence of a help text."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", paragraph, maxsplit=1)[0]


def failure(error: HooklineError, *, as_json: bool) -> Failed:
    """Return the exception that shows an error and ends the command."""
    failed = Failed(error, as_json=as_json)
    if isinstance(error, ConfigError | StoreTooNew) or failed.code == CannotSign.code:
        return WronglyUsed(error, as_json=as_json)
    return failed


def _option(name: str) -> click.Option:
    field = Settings.model_fields[name]
    choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is typing.Literal else ()
    # Values stay text: the settings validate them, so that an option's error reads like a file's.
    kind = click.Choice([str(choice) for choice in choices]) if choices else click.STRING
    metavar = None if choices else {"db": "URL", "queue": "URL", "flows": "DIR|database"}.get(name, name.upper())
    help_text = (field.description or "").replace("`", "")
    return click.Option([f"--{name.replace('_', '-')}", name], type=kind, metavar=metavar, help=help_text)


def problem_line(problem: Problem) -> str:
    """A problem as a line: `flows/a.json:3: /steps/0/use: there is no action x (did you mean y?)`."""
    place = ":".join(str(part) for part in (problem.file, problem.line) if part is not None)
    text = ": ".join(part for part in (place, problem.pointer, problem.message) if part)
    if problem.severity != "error":
        text = f"{problem.severity}: {text}"
    return f"{text} ({problem.remedy})" if problem.remedy else text


def can_ask() -> bool:
    """Return true if there is a terminal at which somebody can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def emit(value: Any, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print a result: `value` as JSON, or else its text. Nothing in it acts in a terminal."""
    click.echo(json_line(value) if as_json else harmless(text()))


def with_pending(text: str, answer: Mapping[str, Any]) -> str:
    """Add the nodes that have not adopted a change to the text about the response to it."""
    if not answer["pending"]:
        return text
    names = ", ".join(answer["pending"])
    return f"{text}\nnot adopted yet by {names}: `hookline nodes list` shows which nodes are behind"


def paged(function: _F) -> _F:
    """Add the options `--cursor` and `--limit` of a list."""
    limit = click.option(
        "--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="The number of entries."
    )
    return click.option("--cursor", help="Continue at the `next` of the previous page.")(limit(function))


def emit_page(
    page: Mapping[str, Any],
    *,
    as_json: bool,
    columns: Sequence[str],
    row: Callable[[Any], Sequence[str]],
    texts: Collection[str] = (),
    ids: Collection[str] = (),
) -> None:
    """Print a page of a list: as JSON, or else as a table with the command-line option that shows the next page."""

    def text() -> str:
        shown = table(columns, [row(item) for item in page["items"]], texts=texts, ids=ids)
        return shown if page["next"] is None else f"{shown}\nmore: --cursor {page['next']}"

    emit(page, as_json=as_json, text=text)
