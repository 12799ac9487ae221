"""`hookline new plugin|flow`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hookline.cli.command import CommandGroup, NotFound, emit
from hookline.kernel.errors import ConfigError
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from hookline.sdk.action import Action

#: The files of a plugin, as templates of Jinja with `<<name>>` and `<<title>>`; NAME in a path is the name.
_TEMPLATE: Final = Path(__file__).parent / "template"
_ENDING: Final = ".txt"
_PLUGIN: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")
#: The longest name and title: with them, every line of the plugin has room for them.
_LONGEST: Final = 40
#: Characters that are special in a text of Python, TOML or Markdown.
_SPECIAL: Final = frozenset('"\\`<>[]*')
_FLOW: Final = re.compile(r"[a-z0-9][a-z0-9-]*\Z")


@click.group(cls=CommandGroup, remote=False)
def new() -> None:
    """Create a plugin or a flow. No file is overwritten."""


@new.command("plugin", needs_settings=False)
@click.argument("name")
@click.option("--title", help="The title of the connector, such as `Acme CRM`; by default from NAME.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="The directory of the plugin; hookline-NAME by default."
)
def new_plugin(name: str, title: str | None, folder: Path | None, as_json: bool) -> None:
    """Create a distribution with a connector called NAME: an action, a trigger that polls, and tests that pass.

    NAME has lower-case letters and digits, with _ between words.
    """
    if not _PLUGIN.match(name) or len(name) > _LONGEST:
        raise ConfigError(
            f"{name!r} can't name a plugin: use at most {_LONGEST} lower-case letters and digits, with _ between words"
        )
    _check_free(name)
    target = folder if folder is not None else Path(f"hookline-{name}")
    files = _plugin_files(name, _title(name) if title is None else _checked(title))
    _write(target, files)
    _tell(target, files, as_json, f"install it: pip install -e {target if target.is_absolute() else f'./{target}'}")


@new.command("flow", settings=("flows",))
@click.argument("flow_id", metavar="ID")
@click.option("--use", "use", metavar="ACTION", help="The action of its step; map by default.")
def new_flow(flow_id: str, use: str | None, as_json: bool, settings: Settings) -> None:
    """Create a flow called ID, and a case for it."""
    from hookline.flows.authoring.formatter import format_flow

    if not _FLOW.match(flow_id):
        raise ConfigError(f"{flow_id!r} can't name a flow: use lower-case letters, digits and -")
    step: dict[str, Any] = {"id": "reply", "use": "map", "with": {"body": {"received": "$.body"}}}
    case: dict[str, Any] = {
        "name": "it completes",
        "input": {"body": {}},
        "expect": {"outcome": "completed", "body": {"received": {}}},
    }
    if use is not None:
        action, itself = _action(use)
        step, given = _step(action)
        case = {
            "name": "it completes",
            "input": {"body": given},
            "stubs": {step["id"]: {"result": {"done": True}}},
            "expect": {"outcome": "completed", "body": {"done": True}},
        }
        if itself:
            # It isn't stubbed, so its result isn't known here.
            case = {"name": case["name"], "input": case["input"], "expect": {"outcome": "completed"}}
    flow = {"id": flow_id, "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": [step]}
    files = {f"{flow_id}.json": format_flow(flow), f"{flow_id}.test.json": _text({"cases": [case]})}
    _write(settings.flows_dir, files)
    _tell(settings.flows_dir, files, as_json, "try it out: hookline test")


def _title(name: str) -> str:
    return " ".join(word.capitalize() for word in name.split("_"))


def _checked(title: str) -> str:
    """Return a title that can be written in Python, TOML, JSON and Markdown as it is. Raises ConfigError."""
    if title != title.strip() or not 1 <= len(title) <= _LONGEST or not title.isprintable() or set(title) & _SPECIAL:
        raise ConfigError(
            f"{title!r} can't be a title: use at most {_LONGEST} characters, without quotes, backslashes or `<>[]*`"
        )
    return title


def _plugin_files(name: str, title: str) -> dict[str, str]:
    """Return the files of a plugin, by their paths in it."""
    from jinja2 import Environment, StrictUndefined

    templates = Environment(  # noqa: S701 - the files aren't HTML
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return {
        path.relative_to(_TEMPLATE).as_posix().removesuffix(_ENDING).replace("NAME", name): templates.from_string(
            path.read_text(encoding="utf-8")
        ).render(name=name, title=title)
        for path in sorted(_TEMPLATE.rglob(f"*{_ENDING}"))
    }


def _check_free(name: str) -> None:
    """Raise ConfigError for a name with which the plugin would replace a part of Hookline."""
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.discovery.registry import GROUP

    registry = load_plugins()
    ours = {("plugin", status.name) for status in registry.plugins if status.distribution == GROUP}
    ours |= {("package", status.module) for status in registry.plugins if status.distribution == GROUP}
    if ("package", f"hookline_{name}") in ours:
        raise ConfigError(f"{name!r} can't name a plugin: Hookline has a package hookline_{name}; take another name")
    ours |= {key for key, origin in registry.origins.items() if origin.distribution == GROUP}
    for kind in ("plugin", "connector", "credential type"):
        if (kind, name) in ours:
            raise ConfigError(
                f"{name!r} can't name a plugin: Hookline has a {kind} of that name; take another, such as {name}_own"
            )


def _action(name: str) -> "tuple[Action, bool]":
    """Return an action, and whether it runs in simulations without a stub. Raises NotFound."""
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.kernel.suggestions_and_counts import did_you_mean
    from hookline.simulation.stubs import touches_nothing_outside

    registry = load_plugins()
    action = registry.actions.get(name)
    if action is None:
        remedy = did_you_mean(name, registry.actions, "see `hookline components`")
        raise NotFound(f"there is no action {name!r} ({remedy})")
    return action, touches_nothing_outside(action, registry)


def _step(action: "Action") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a step that takes the required settings of an action from the body, and such a body."""
    fields = action.settings.model_fields
    required = {str(field.alias or name): field.annotation for name, field in fields.items() if field.is_required()}
    id_ = re.sub(r"[^a-z0-9_]", "_", action.name.rpartition(".")[2].lower())
    step: dict[str, Any] = {"id": id_, "use": action.name, "with": {name: f"$.body.{name}" for name in required}}
    if action.needs_credential:
        step["credential"] = f"{action.credential_types[0]}-prod"
    examples: Mapping[Any, Any] = {int: 1, float: 1.5, bool: True, dict: {}, list: []}
    return step, {name: examples.get(kind, "text") for name, kind in required.items()}


def _text(value: Any) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files, or none if one of them exists. Raises ConfigError."""
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise ConfigError(f"{folder / there[0]} already exists, and no file is overwritten; nothing was written")
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise ConfigError(f"{folder} can't be written: {error.strerror}") from None


def _tell(folder: Path, files: Mapping[str, str], as_json: bool, following: str) -> None:
    made = [str(folder / name) for name in files]
    emit({"files": made}, as_json=as_json, text=lambda: "\n".join([*(f"wrote {name}" for name in made), following]))
