"""`hookline new plugin|flow`."""

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hookline.cli.command import CommandGroup, NotFound, emit
from hookline.config import Settings
from hookline.kernel.errors import ConfigError

if TYPE_CHECKING:
    from hookline.sdk.action import Action

#: A working plugin named acme, which is renamed.
_TEMPLATE: Final = Path(__file__).parent / "template"
_ENDING: Final = ".txt"
_PLUGIN: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")
#: Names in the plugin that aren't its connector's.
_WORDS: Final = frozenset({"verify", "create_order", "new_orders", "register_connectors", "hookimpl"})
_FLOW: Final = re.compile(r"[a-z0-9][a-z0-9-]*\Z")


@click.group(cls=CommandGroup)
def new() -> None:
    """Create a plugin or a flow. No file is overwritten."""


@new.command("plugin", needs_settings=False)
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="The directory of the plugin; hookline-NAME by default."
)
def new_plugin(name: str, folder: Path | None, as_json: bool) -> None:
    """Create a distribution with a connector called NAME: an action, a trigger that polls, and tests that pass."""
    if not _PLUGIN.match(name):
        raise ConfigError(f"{name!r} can't name a plugin: use small letters and digits, with _ between words")
    _check_free(name)
    target = folder if folder is not None else Path(f"hookline-{name}")
    title = " ".join(word.capitalize() for word in name.split("_"))
    files = {
        _named(path.relative_to(_TEMPLATE).as_posix().removesuffix(_ENDING), name, title): _named(
            path.read_text(encoding="utf-8"), name, title
        )
        for path in sorted(_TEMPLATE.rglob(f"*{_ENDING}"))
    }
    _write(target, files)
    _tell(target, files, as_json, f"install it: pip install -e ./{target}")


@new.command("flow", settings=("flows",))
@click.argument("flow_id", metavar="ID")
@click.option("--use", "use", metavar="ACTION", help="The action of its step; map by default.")
def new_flow(flow_id: str, use: str | None, as_json: bool, settings: Settings) -> None:
    """Create a flow called ID, and a case for it."""
    from hookline.flows.authoring.formatter import format_flow

    if not _FLOW.match(flow_id):
        raise ConfigError(f"{flow_id!r} can't name a flow: use small letters, digits and -")
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
    _write(settings.flows, files)
    _tell(settings.flows, files, as_json, "try it out: hookline test")


def _check_free(name: str) -> None:
    """Raise ConfigError for a name with which the plugin wouldn't work, or would replace another."""
    from hookline.discovery.loader import GROUP, load_plugins

    if keyword.iskeyword(name) or name in _WORDS:
        raise ConfigError(
            f"{name!r} can't name a plugin: it is a keyword of Python, or a name that the plugin uses itself"
        )
    registry = load_plugins()
    ours = {("plugin", status.name) for status in registry.plugins if status.distribution == GROUP}
    ours |= {key for key, origin in registry.origins.items() if origin.distribution == GROUP}
    for kind in ("plugin", "connector", "credential type"):
        if (kind, name) in ours:
            raise ConfigError(
                f"{name!r} can't name a plugin: Hookline has a {kind} of that name; take another, such as {name}_own"
            )


def _action(name: str) -> "tuple[Action, bool]":
    """Return an action, and whether it runs in simulations without a stub. Raises NotFound."""
    from hookline.discovery.loader import load_plugins
    from hookline.kernel.suggest import did_you_mean
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


def _named(text: str, name: str, title: str) -> str:
    return text.replace("AcmeKey", f"{title.replace(' ', '')}Key").replace("acme", name).replace("Acme", title)


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
