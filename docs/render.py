"""The generated parts of the reference pages. cog calls these functions, and `tox -e docs` checks the pages."""

import ast
import inspect
import typing
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from hookline.access.audit import OPERATIONS
from hookline.cli.main import COMMANDS, main
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.quality import SCALE
from hookline.flows.check.codes import CODES
from hookline.kernel import errors
from hookline.kernel.errors import HooklineError, RequestRejected
from hookline.kernel.json import encode
from hookline.model.flow import (
    BLOCKS,
    ActionStep,
    CaseDocument,
    FlowDocument,
    RetentionDocument,
    RetryDocument,
    TriggerDocument,
)
from hookline.model.webhook import PageChoice, PageField, PageSettings
from hookline.sdk import hookspecs
from hookline.server_settings import PREFIX, Settings
from hookline.service.views.components import ComponentView, component_views, setting_views
from hookline.storage.change_declarations import DECLARATIONS


def settings() -> str:
    """Each setting with its variable, its default and its meaning."""
    lines = ["| setting | variable | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "" if default is None else f"`{_plain(default)}`" if default != () else ""
        choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is typing.Literal else ()
        meaning = (field.description or "") + (
            f" One of {', '.join(f'`{one}`' for one in choices)}." if choices else ""
        )
        lines.append(f"| `{name}` | `{PREFIX}{name.upper()}` | {shown} | {cell(meaning)} |")
    return "\n".join(lines)


def changes() -> str:
    """Each stored change with its effect, its results and its fault point."""
    lines = ["| change | effect | result | fault point |", "| --- | --- | --- | --- |"]
    for change, declared in DECLARATIONS.items():
        effect = inspect.cleandoc(change.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        results = ", ".join(f"`{result.__name__}`" for result in declared.results)
        point = f"`{declared.fault_point}`" if declared.fault_point else ""
        lines.append(f"| `{change.__name__}` | {effect} | {results} | {point} |")
    return "\n".join(lines)


def flow_problem_codes() -> str:
    """Each code of a problem that the checker finds in flows."""
    return "\n".join(
        ["| code | meaning |", "| --- | --- |", *(f"| `{code}` | {CODES[code]} |" for code in sorted(CODES))]
    )


def command_line() -> str:
    """Each command with its usage and options."""
    context = click.Context(main, info_name="hookline")
    parts = [_options(main, context)]
    for name in COMMANDS:
        if (command := main.get_command(context, name)) is not None:
            parts.append(_command(command, click.Context(command, context, name), 2))
    return "\n\n".join(parts)


def _command(command: click.Command, context: click.Context, level: int) -> str:
    parts = [f"{'#' * level} `{context.command_path}`"]
    parts.append(inspect.cleandoc(command.help or ""))
    if not isinstance(command, click.Group):
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        parts.append(f"    {usage}")
        parts.append(_options(command, context))
    elif command.invoke_without_command:
        parts += [f"    {context.command_path} [OPTIONS]", _options(command, context)]
    inside: dict[str, click.Command] = getattr(command, "commands", {})
    for name, inner in inside.items():
        parts.append(_command(inner, click.Context(inner, context, name), level + 1))
    return "\n\n".join(part for part in parts if part)


def _options(command: click.Command, context: click.Context) -> str:
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [f"| `{record[0].replace('|', ' or ')}` | {cell(record[1])} |" for record in records if record]
    return "\n".join(["| option | meaning |", "| --- | --- |", *rows])


def hooks() -> str:
    """Each hook with its literal signature and its purpose."""
    tree = ast.parse(inspect.getsource(hookspecs))
    parts = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("register_"):
            returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
            signature = f"def {node.name}({ast.unparse(node.args)}){returns}:"
            parts.append(f"## `{node.name}`\n\n{ast.get_docstring(node)}\n\n```text\n{signature}\n```")
    return "\n\n".join(parts)


def components(*kinds: str, titled: bool = False) -> str:
    """The components of some kinds that no connector has, with their settings; `titled`: each kind under its title."""
    views = [view for view in component_views(load_plugins()) if view.kind in kinds and view.connector is None]
    if not titled:
        return "\n\n".join(_component(view, "##") for view in views)
    parts: list[str] = []
    for kind in kinds:
        parts += [f"## {kind.capitalize()}s", *(_component(view, "###") for view in views if view.kind == kind)]
    return "\n\n".join(parts)


def _component(view: ComponentView, mark: str) -> str:
    parts = [f"{mark} `{view.name}`", view.description or view.title]
    if view.credential_types:
        parts.append(f"Credential: {' or '.join(f'`{name}`' for name in view.credential_types)}.")
    if view.settings:
        lines = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
        for one in view.settings:
            default = "required" if one.required else f"`{encode(one.default).decode()}`"
            lines.append(f"| `{one.name}` | {cell(one.type)} | {cell(default)} | {cell(one.description)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def language() -> str:
    """The keys of a flow and of each kind of step, with their meaning."""
    parts = [_keys("A flow", FlowDocument), _keys("`trigger`", TriggerDocument)]
    parts.append(_keys("A step that runs an action: `use`", ActionStep))
    parts += [_keys("`retry`", RetryDocument), _keys("`retention`", RetentionDocument)]
    parts += [_keys(f"A step with `{key}`", block) for key, block in BLOCKS.items()]
    parts.append(_keys("A case of a switch", CaseDocument))
    return "\n\n".join(parts)


def pages() -> str:
    """The settings of the page of a waiting step."""
    models = {"`page`": PageSettings, "A field of a page": PageField, "A choice of a page": PageChoice}
    return "\n\n".join(_keys(title, model) for title, model in models.items())


def _keys(title: str, model: type[BaseModel]) -> str:
    lines = [f"## {title}", "", _first_line(model), ""]
    lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for one in setting_views(model):
        # Null means the same as a missing key.
        default = "required" if one.required else "" if one.default is None else f"`{encode(one.default).decode()}`"
        kind = one.type.removesuffix(" or null").replace("list of object", _LISTS.get(one.name, "list of steps"))
        lines.append(f"| `{one.name}` | {cell(kind)} | {cell(default)} | {cell(one.description)} |")
    return "\n".join(lines)


_LISTS = {"switch": "list of cases", "choices": "list of choices"}


def error_codes() -> str:
    """Each code of the tree of errors."""
    lines = ["| code | error | meaning |", "| --- | --- | --- |"]
    lines += [
        f"| `{kind.code}` | `{kind.__name__}` | {cell(_first_line(kind))} |"
        for kind in _tree(HooklineError)
        if not issubclass(kind, RequestRejected)
    ]
    return "\n".join(lines)


def quality() -> str:
    """The rules of each level of the quality scale."""
    rows = [f"| {rule.level} | `{rule.code}` | {cell(rule.text)} |" for rule in SCALE]
    return "\n".join(["| level | rule | requirement |", "| --- | --- | --- |", *rows])


def audited_operations() -> str:
    """Each operation that the audit records."""
    lines = [
        "| operation | meaning | `flow_id`, `flow_version` | `subject` | `detail` |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{name}` | {cell(told.meaning)} | {'yes' if told.flow else ''} | {told.subject} | {told.detail} |"
        for name, told in OPERATIONS.items()
    ]
    return "\n".join(lines)


def problem_codes() -> str:
    """Each code of a problem document in the response of a hook."""
    lines = ["| status | code | meaning |", "| --- | --- | --- |"]
    kinds = sorted(_tree(RequestRejected), key=lambda kind: (kind.status, kind.code))
    lines += [f"| {kind.status} | `{kind.code}` | {cell(_first_line(kind))} |" for kind in kinds]
    return "\n".join(lines)


def _tree(root: type[Any]) -> list[type[Any]]:
    """The errors of `hookline.kernel.errors`: other modules' own aren't part of the contract."""
    found = [root] if root.__module__ == errors.__name__ else []
    for kind in root.__subclasses__():
        found += _tree(kind)
    return found


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _plain(value: Any) -> str:
    return value.as_posix() if isinstance(value, Path) else str(value)


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
